//! Texts of many scripts and shapes, by the command alone, by the command with a server, and by HTTP:
//! offsets count the characters of what was given, or it is refused in words, with place and advice.
#![expect(clippy::indexing_slicing, reason = "JSON indexed by a name that it lacks is null")]

mod texts {
    pub(crate) mod claims;
    pub(crate) mod desk;
}

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use texts::{
    claims::{every_span_is_what_it_claims, names},
    desk::{Desk, submission},
};

/// A sentence whose names must be found wherever it stands.
const ENGLISH: &str = "Mirror was directed by Andrei Tarkovsky.";

/// Texts in which no fact need be found.
const FOREIGN: [&str; 11] = [
    "Der Film „Das Boot“ wurde 1981 von Wolfgang Petersen in München gedreht. Größe: ß, Ä, ö.",
    "Le film « Amélie » a été réalisé par Jean-Pierre Jeunet à Paris en 2001 ; l’été, enfin.",
    "《卧虎藏龙》是李安执导的电影。章子怡主演，2000年上映。",
    "映画『千と千尋の神隠し』は宮崎駿が監督した。",
    "הסרט „ואלס עם באשיר” בוים על ידי ארי פולמן בשנת 2008.",
    "أخرج يوسف شاهين فيلم باب الحديد عام ١٩٥٨.",
    "👩‍🚀👨‍👩‍👧‍👦🎬 🇫🇷 ❤️‍🔥 e\u{301}te\u{301}",
    "One\r\nTwo\r\n\r\nThree",
    "\u{202e}.yksvokraT\u{202c} \u{200b}\u{feff}",
    "Tab\tand \u{1b}[31m a bell \u{7} between",
    "\u{10ffff}\u{e000}\u{fffd} \u{85}\u{2028}\u{2029}",
];

/// JSON without a character beyond ASCII.
fn escaped(document: &Value) -> String {
    let mut text = String::new();
    for letter in document.to_string().chars() {
        if letter.is_ascii() {
            text.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            text.extend(format!("\\u{unit:04x}").chars());
        }
    }
    text
}

/// Sends every text in every way; all must be answered alike, with true spans. The graphs.
async fn alike(desk: &Desk, texts: &[&str]) -> Result<Vec<Value>> {
    let [here, by_node] = desk.graphs(texts).await?;
    ensure!(here.len() == texts.len() && by_node.len() == texts.len(), "a graph is missing");
    for ((text, here), by_node) in texts.iter().zip(&here).zip(&by_node) {
        every_span_is_what_it_claims(here, text)?;
        let submission = submission(text);
        let graph = desk.graph(submission.to_string()).await?;
        ensure!(*here == graph, "by the command alone: {text:?}: {here:#} and {graph:#}");
        ensure!(*by_node == graph, "by the command: {text:?}");
        ensure!(desk.graph(escaped(&submission)).await? == graph, "escaped: {text:?}");
        ensure!(desk.called(text).await? == graph, "called: {text:?}");
        let told = Value::Array(desk.streamed(text).await?);
        ensure!(told == graph["entities"], "streamed: {text:?}");
    }
    Ok(here)
}

#[tokio::test]
async fn texts_of_every_script_are_read_alike_however_they_come() -> Result<()> {
    let desk = Desk::new().await?;
    let around = FOREIGN.map(|other| format!("{other}\r\n\r\n{ENGLISH}\n\n{other}"));
    let around: Vec<&str> = around.iter().map(String::as_str).collect();
    for (text, graph) in around.iter().zip(alike(&desk, &around).await?) {
        let spans = every_span_is_what_it_claims(&graph, text)?;
        ensure!(spans >= 5, "{spans} spans in {text:?}: {graph:#}");
        ensure!(names(&graph, "Person")?.contains(&"Andrei Tarkovsky"), "{text:?}: {graph:#}");
        let facts = graph["relations"].as_array().context("no facts")?;
        ensure!(facts.iter().any(|fact| fact["predicate"] == "director"), "{text:?}: {graph:#}");
    }
    alike(&desk, &FOREIGN).await.map(drop)
}

#[tokio::test]
async fn line_ends_and_marks_make_another_text_of_the_same_facts() -> Result<()> {
    let desk = Desk::new().await?;
    let unix = "Mirror was directed by\nAndrei Tarkovsky.\n\nIt stars Margarita Terekhova.\n";
    let (windows, marked) = (unix.replace('\n', "\r\n"), format!("\u{feff}{unix}"));
    let mac = unix.replace('\n', "\r");
    let texts = [unix, &windows, &mac, &marked];
    let graphs = alike(&desk, &texts).await?;
    let mut known = BTreeSet::new();
    for graph in &graphs {
        ensure!(graph["relations"].as_array().is_some_and(|facts| facts.len() == 2), "{graph:#}");
        known.insert(graph["requestId"].to_string());
    }
    ensure!(known.len() == texts.len(), "exact bytes name the work: {known:?}");
    Ok(())
}

#[tokio::test]
async fn a_zero_between_characters_is_counted_where_it_can_be_sent() -> Result<()> {
    let desk = Desk::new().await?;
    let text = format!("Before \u{0} and behind.\n\n{ENGLISH}");
    let graph = desk.graph(submission(&text).to_string()).await?;
    ensure!(every_span_is_what_it_claims(&graph, &text)? >= 5, "{graph:#}");
    ensure!(desk.called(&text).await? == graph, "called");
    Ok(())
}

/// What a command says of a file that is no text.
const REFUSED: [(&[u8], &[&str]); 8] = [
    (b"caf\xe9", &["not UTF-8", "byte 0xE9", "offset 3", "line 1, column 4", "iconv"]),
    (b"one\ntwo \xf0\x9f\x8e", &["not UTF-8", "byte 0xF0", "offset 8", "line 2, column 5"]),
    (b"\xed\xa0\x80 alone", &["not UTF-8", "byte 0xED", "offset 0", "line 1, column 1"]),
    (b"\xff\xfeM\0i\0", &["UTF-16", "iconv -f UTF-16"]),
    (b"\x89PNG\r\n\x1a\n\0\0", &["not UTF-8", "byte 0x89", "offset 0"]),
    (
        b"\x7fELF\x02\x01\0\0",
        &["binary", "zero byte", "offset 6", "line 1, column 7", "plain text"],
    ),
    (b"", &["the text is empty"]),
    (b"\xef\xbb\xbf \r\n\t\xe3\x80\x80", &["the text is empty"]),
];

#[tokio::test]
async fn a_file_that_is_no_text_is_refused_with_place_and_advice_and_the_rest_is_read() -> Result<()>
{
    let desk = Desk::new().await?;
    let texts: Vec<&[u8]> = REFUSED.iter().map(|(bytes, _)| *bytes).collect();
    let mut files = desk.write(&texts)?;
    for ran in desk.commanded(&files).await? {
        let ran = ran.ended_with(2)?;
        ensure!(ran.stdout.is_empty(), "{ran:#?}");
        for (file, (_, said)) in files.iter().zip(REFUSED) {
            let of_file = format!("{file}: ");
            let line = ran.stderr.lines().find(|line| line.contains(&of_file));
            let line = line.with_context(|| format!("nothing of {file}: {ran:#?}"))?;
            ensure!(said.iter().all(|part| line.contains(part)), "{said:?} of {line:?}");
        }
    }
    std::fs::write(desk.bench.path().join("good.txt"), ENGLISH)?;
    files.push("good.txt".to_owned());
    for ran in desk.commanded(&files).await? {
        let ran = ran.ended_with(6)?;
        let graph: Value = serde_json::from_str(&ran.stdout).with_context(|| ran.stdout.clone())?;
        ensure!(every_span_is_what_it_claims(&graph, ENGLISH)? >= 5, "{graph:#}");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_text_is_refused_and_nothing_is_stored() -> Result<()> {
    let desk = Desk::new().await?;
    let blank = |text: &str| {
        (submission(text).to_string().into_bytes(), 422, "invalid_payload", Some("text"), "empty")
    };
    let body = |text: &[u8]| [b"{\"ontologyId\":\"film\",\n\"text\":\"", text, b"\"}"].concat();
    let garbled = |text: &[u8], said| (body(text), 400, "malformed_json", Some("body"), said);
    // Half of a character that is written in two escapes.
    let half = |text: &[u8]| (body(text), 400, "malformed_json", Some("text"), "line 2 column");
    let wide: Vec<u8> = ENGLISH.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (body, status, code, field, said) in [
        blank(""),
        blank(" \r\n\t\u{3000}\u{200b}"),
        blank("\u{feff}\r\n"),
        garbled(b"caf\xe9", "no UTF-8 at line 2 column 12"),
        garbled(b"\x89PNG\r\n\x1a\n", "no UTF-8 at line 2 column 9"),
        garbled(b"\xed\xa0\x80", "no UTF-8 at line 2 column 9"),
        half(b"\\ud800"),
        half(b"\\udc00\\ud800"),
        (body(b"a\nb"), 400, "malformed_json", Some("text"), "control character"),
        (body(&wide), 400, "malformed_json", Some("text"), "line 2 column"),
        ("a ".repeat(600_000).into_bytes(), 413, "too_large", Some("body"), "1048576"),
    ] {
        let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
        let answer = desk.post("/v1/extractions", body).send().await?;
        let found = answer.status().as_u16();
        let problem: Value = answer.json().await?;
        ensure!(found == status && problem["code"] == code, "{shown:?}: {found} {problem:#}");
        ensure!(problem["field"].as_str() == field, "{shown:?}: {problem:#}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains(said), "{shown:?}: {problem:#}");
        ensure!(status != 400 || problem["line"].is_u64(), "{problem:#}");
        ensure!(problem["retryable"] == false && problem["outcome"] == "refused", "{problem:#}");
    }
    let plain = desk.http.post(format!("{}/v1/extractions", desk.node.url)).body(ENGLISH);
    let answer = plain.header(CONTENT_TYPE, "text/plain; charset=utf-8").send().await?;
    ensure!(answer.status() == 415, "{}", answer.text().await?);
    for page in ["/v1/messages", "/v1/entities"] {
        let answer = desk.http.get(format!("{}{page}", desk.node.url)).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        ensure!(answer["items"] == json!([]), "{page}: {answer:#}");
    }
    Ok(())
}
