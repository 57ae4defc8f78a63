//! Texts of many scripts and shapes: offsets count scalars of exactly what was given, or the text
//! is refused in words.

use quarry_extract::graph::{Graph, verify};
use quarry_extract::{InvalidSubmission, MAX_TEXT, Options, Parameters, Submission, decode};

use crate::score::{built_in, facts};

fn read(text: &str) -> Graph {
    let graph = built_in("film").extract(text, &Parameters::default());
    assert_eq!(verify(&graph, text), Ok(()), "{text:?}");
    let scalars: Vec<char> = text.chars().collect();
    for mention in graph.entities.iter().flat_map(|entity| &entity.mentions) {
        let (start, end) = (mention.start as usize, mention.end as usize);
        let there: String = scalars[start..end].iter().collect();
        assert_eq!(there, mention.text, "{text:?}");
    }
    assert!(!graph.relations.is_empty() || graph.reason.is_some(), "{text:?}");
    graph
}

/// An English sentence whose facts must be found wherever it stands.
const ENGLISH: &str = "Mirror was directed by Andrei Tarkovsky.";

#[test]
fn texts_of_every_script_are_read_with_true_offsets() {
    for other in [
        "Der Film „Das Boot“ wurde 1981 von Wolfgang Petersen in München gedreht.",
        "Le film « Amélie » a été réalisé par Jean-Pierre Jeunet à Paris en 2001 ; l’été, enfin.",
        "《卧虎藏龙》是李安执导的电影。章子怡主演，2000年上映。",
        "映画『千と千尋の神隠し』は宮崎駿が監督した。2001年。",
        "הסרט „ואלס עם באשיר” בוים על ידי ארי פולמן בשנת 2008.",
        "أخرج يوسف شاهين فيلم باب الحديد عام ١٩٥٨.",
        "ภาพยนตร์เรื่องนี้กำกับโดยอภิชาติพงศ์ วีระเศรษฐกุล",
        "👩‍🚀👨‍👩‍👧‍👦🎬 🇫🇷 ❤️‍🔥 e\u{301}te\u{301} Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
        "\u{202e}.yksvokraT ierdnA yb detcerid saw rorriM\u{202c}",
        "A\u{0}B \u{feff} \u{200b}\u{200d} \u{85}\u{2028}\u{2029}",
        "\u{10ffff}\u{e000}\u{fffd}",
    ] {
        read(other);
        for joined in [format!("{other} {ENGLISH}"), format!("{other}\n\n{ENGLISH}\n\n{other}")] {
            let graph = read(&joined);
            let directed = |fact: &(String, String, String)| {
                fact.1 == "director" && fact.2 == "Andrei Tarkovsky"
            };
            assert!(facts(&graph).iter().any(directed), "{joined:?}: {graph:#?}");
        }
    }
}

#[test]
fn line_ends_and_byte_order_marks_are_counted_as_they_stand() {
    let unix = "Mirror was directed by\nAndrei Tarkovsky.\n\nIt stars Margarita Terekhova.\n";
    let start = |graph: &Graph, name: &str| {
        let found = graph.entities.iter().find(|entity| entity.name == name);
        found.unwrap_or_else(|| panic!("{name}: {graph:#?}")).mentions[0].start
    };
    let plain = read(unix);
    let windows = read(&unix.replace('\n', "\r\n"));
    let mac = read(&unix.replace('\n', "\r"));
    let marked = read(&format!("\u{feff}{unix}"));
    assert_eq!(facts(&plain), facts(&windows));
    assert_eq!(facts(&plain), facts(&marked));
    assert_eq!(start(&plain, "Margarita Terekhova"), 51);
    assert_eq!(start(&windows, "Margarita Terekhova"), 54);
    assert_eq!(start(&mac, "Andrei Tarkovsky"), 23);
    assert_eq!(start(&marked, "Margarita Terekhova"), 52);
}

#[test]
fn what_is_no_text_is_refused() {
    let refused = |text: String| {
        let submission = Submission {
            text,
            ontology_id: "film".to_owned(),
            ontology_version: None,
            options: Options::default(),
            document_id: None,
            request_id: None,
        };
        submission.check().map(drop).unwrap_err()
    };
    for blank in ["", " ", "\r\n\t", "\u{feff}", "\u{feff}\r\n", "\u{200b}", "\u{3000}\u{a0}"] {
        assert_eq!(refused(blank.to_owned()), InvalidSubmission::EmptyText, "{blank:?}");
    }
    let long = "ä".repeat(MAX_TEXT / 2) + "b";
    assert_eq!(refused(long), InvalidSubmission::TextTooLong { bytes: MAX_TEXT + 1 });
    for bytes in
        [&b"\x89PNG\r\n\x1a\n\0\0"[..], b"caf\xe9", b"\xff\xfeM\0", b"\xed\xa0\x80", b"\xc0\x80"]
    {
        assert!(decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_longest_texts_are_read_whatever_their_shape() {
    let sentence = "Mirror was directed by Andrei Tarkovsky and stars Margarita Terekhova. ";
    let mut long = sentence.repeat(1_000);
    long.push_str(&"und so weiter … ".repeat((MAX_TEXT - long.len()) / 18 - 8));
    long.push_str(sentence.trim_end());
    assert!(long.len() > MAX_TEXT * 9 / 10 && long.len() <= MAX_TEXT);
    let graph = read(&long);
    assert_eq!(facts(&graph).len(), 2, "{:?}", facts(&graph));
    let names = "Anna Moe, ".repeat(20_000);
    for shapeless in [
        "a".repeat(MAX_TEXT),
        "(".repeat(300_000),
        ")\"".repeat(99_999),
        "\n".repeat(MAX_TEXT),
        names,
    ] {
        read(&shapeless);
    }
}
