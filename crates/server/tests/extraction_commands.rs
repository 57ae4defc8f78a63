//! `extract`, `ingest` and `ontology` from outside: what they print, refuse and end with.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test starts and reads has to be there"
)]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A pack that needs no server.
const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../extract/packs/film.toml");
const FILM: &str = "Blade Runner is a 1982 film directed by Ridley Scott.\n";

fn quarry(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QUARRY_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(directory: &Path, line: &str) -> Output {
    quarry(directory).args(line.split_whitespace()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// A development node, ended with the test.
struct Dev {
    child: Child,
    url: String,
}

impl Dev {
    fn start(directory: &Path) -> Self {
        let mut command = quarry(directory);
        command.args(["dev", "--port", "0", "-o", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { child, url: ready["nodes"][0]["url"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_graph_is_written_as_turtle_and_as_events_without_a_server() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    std::fs::write(here.join("film.txt"), FILM).unwrap();
    let turtle = run(here, &format!("extract film.txt --ontology {PACK} --format turtle"));
    assert_eq!(turtle.status.code(), Some(0), "{}", text(&turtle.stderr));
    for part in ["@prefix schema:", "schema:director", "\"Ridley Scott\"", "\"1982\"^^xsd:gYear"] {
        assert!(text(&turtle.stdout).contains(part), "{part}: {}", text(&turtle.stdout));
    }
    let lines = run(here, &format!("extract film.txt --ontology {PACK} --format ntriples"));
    assert!(text(&lines.stdout).lines().all(|line| line.ends_with(" .")), "{lines:?}");

    let events = run(here, &format!("extract film.txt --ontology {PACK} --stream"));
    assert_eq!(events.status.code(), Some(0), "{}", text(&events.stderr));
    let events: Vec<Value> =
        text(&events.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["type"], "started");
    assert_eq!(events.last().unwrap()["type"], "completed");
    assert!(
        events
            .iter()
            .any(|event| event["type"] == "fact_found" && event["fact"]["predicate"] == "director")
    );
    let unclear =
        run(here, &format!("extract film.txt --ontology {PACK} --stream --format turtle"));
    assert_eq!(unclear.status.code(), Some(2));
}

#[test]
fn what_is_no_text_is_refused_with_its_place_and_the_rest_is_read() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    for (name, bytes) in [
        ("film.txt", FILM.as_bytes()),
        ("latin.txt", b"caf\xe9"),
        ("wide.txt", b"\xff\xfeA\0"),
        ("program", b"\x7fELF\0\0"),
        ("empty.txt", b""),
        ("blank.txt", b"\xef\xbb\xbf\r\n"),
    ] {
        std::fs::write(here.join(name), bytes).unwrap();
    }
    for (name, said) in [
        ("latin.txt", "latin.txt: it is not UTF-8: byte 0xE9 stands at offset 3, line 1, column 4"),
        ("wide.txt", "wide.txt: it is UTF-16"),
        ("program", "program: it is binary: a zero byte stands at offset 4"),
        ("empty.txt", "empty.txt: the text is empty"),
        ("blank.txt", "blank.txt: the text is empty"),
    ] {
        let output = run(here, &format!("extract {name} --ontology {PACK}"));
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(text(&output.stderr).contains(said), "{name}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
    let some = run(here, &format!("extract latin.txt film.txt gone.txt --ontology {PACK}"));
    assert_eq!(some.status.code(), Some(6), "{}", text(&some.stderr));
    assert_eq!(json(&some)["ontologyId"], "film");
    assert!(text(&some.stderr).contains("2 of the files were not read"));
}

#[test]
fn ontologies_are_listed_and_shown_without_a_server() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    let listed = json(&run(here, "ontology ls"));
    let ids: Vec<&str> =
        listed.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["company", "film", "person"]);
    assert!(listed.as_array().unwrap().iter().all(|it| it["examples"].as_u64() >= Some(40)));
    let shown = json(&run(here, "ontology show foaf"));
    assert_eq!(shown["id"], "person");
    let knows = |it: &&Value| it["iri"] == "http://xmlns.com/foaf/0.1/knows";
    assert!(shown["relations"].as_array().unwrap().iter().find(knows).is_some());
    let unknown = run(here, "ontology show flim");
    assert_eq!(unknown.status.code(), Some(3));
    assert!(text(&unknown.stderr).contains("company, film, person"), "{unknown:?}");
}

#[test]
fn every_mistake_of_a_pack_is_told_with_its_line_and_advice() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    let pack = "id = \"bees\"\n[[class]]\nname = \"Hive\"\n[[relation]]\nname = \"keptBy\"\n\
        domain = [\"Hive\"]\nrange = [\"Keeper\"]\n[[sentence]]\ntext = \"Old Oak hums.\"\n\
        triples = [[\"Old Oak\", \"keptBy\", \"Anna\"]]\n";
    for (name, content) in [
        ("bees.toml", pack),
        ("torn.toml", "id = \"x\"\n[[class]\n"),
        ("good.json", "{\"id\": \"x\", \"class\": [{\"name\": \"Thing\"}]}"),
        ("terms.ttl", "@prefix a: <http://a.example/> .\n\na:Hive a a:Class ,\n"),
        ("hives.ttl", "<urn:Hive> a <http://www.w3.org/2002/07/owl#Class> .\n"),
    ] {
        std::fs::write(here.join(name), content).unwrap();
    }
    let checked = run(here, "ontology check bees.toml -o table");
    assert_eq!(checked.status.code(), Some(2));
    for said in [
        "bees.toml:4: relation keptBy: names the unknown class `Keeper` as range; the classes are Hive",
        "bees.toml:8: sentence 1 (\"Old Oak hums.\"): the object `Anna` of `keptBy` does not stand",
    ] {
        assert!(text(&checked.stdout).contains(said), "{said}: {}", text(&checked.stdout));
    }
    assert!(text(&checked.stderr).contains("2 mistakes"), "{}", text(&checked.stderr));
    let all = run(here, "ontology check good.json torn.toml terms.ttl");
    assert_eq!(all.status.code(), Some(2));
    let all = json(&all);
    assert_eq!(all[0]["ok"], true);
    assert_eq!((&all[1]["ok"], &all[1]["problems"][0]["line"]), (&false.into(), &2.into()));
    assert!(all[2]["problems"][0]["message"].as_str().unwrap().contains("is no Turtle"));
    let vocabulary = json(&run(here, "ontology check hives.ttl"));
    assert_eq!(vocabulary[0]["ontology"]["id"], "hives", "{vocabulary}");
    assert!(vocabulary[0]["notes"][0].as_str().unwrap().contains("no example sentences"));
    assert_eq!(run(here, "ontology check good.json").status.code(), Some(0));
    assert_eq!(run(here, "ontology check gone.toml").status.code(), Some(3));
    let used = run(here, "extract good.json --ontology ./bees.toml");
    assert_eq!(used.status.code(), Some(2));
    assert!(text(&used.stderr).contains("bees.toml:4:"), "{}", text(&used.stderr));
}

#[test]
fn an_extractor_is_measured_on_annotated_texts() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    let lines = "{\"text\": \"Mirror was directed by Andrei Tarkovsky.\", \"facts\": \
        [[\"Mirror\", \"director\", \"Andrei Tarkovsky\"], [\"Mirror\", \"mood\", \"sad\"]]}\n\
        {\"text\": \"It rained.\", \"facts\": []}\n";
    std::fs::write(here.join("some.jsonl"), lines).unwrap();
    std::fs::write(here.join("torn.jsonl"), format!("{lines}{{\"text\": 1}}\n")).unwrap();
    let measured = json(&run(here, "ontology eval film --data some.jsonl --differences"));
    assert_eq!((&measured["texts"], &measured["unverified"]), (&2.into(), &0.into()));
    assert_eq!(measured["total"]["recall"], 0.5);
    assert_eq!(measured["relations"]["director"]["f1"], 1.0);
    assert_eq!(measured["differences"][0]["missed"][0][1], "mood");
    let table = run(here, "ontology eval film --data some.jsonl -o table");
    assert!(text(&table.stdout).contains("total"), "{}", text(&table.stdout));
    assert!(text(&table.stderr).contains("mood"), "{}", text(&table.stderr));
    let torn = run(here, "ontology eval film --data torn.jsonl");
    assert_eq!(torn.status.code(), Some(2));
    assert!(text(&torn.stderr).contains("torn.jsonl: line 3"), "{}", text(&torn.stderr));
}

#[test]
fn documents_are_ingested_once_however_often_the_command_is_run() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    std::fs::create_dir(here.join("texts")).unwrap();
    let at = |name: &str| here.join("texts").join(name);
    for number in 0..5 {
        std::fs::write(at(&format!("{number}.txt")), format!("{number}. {FILM}")).unwrap();
    }
    let line = serde_json::json!({"text": FILM, "documentId": "a"}).to_string();
    let twin = serde_json::json!({"text": FILM}).to_string();
    std::fs::write(here.join("more.jsonl"), format!("{line}\n{twin}\n")).unwrap();
    let away = run(here, "ingest texts --ontology film --url http://127.0.0.1:1");
    assert_eq!(away.status.code(), Some(5), "{}", text(&away.stderr));

    let dev = Dev::start(here);
    let ask = |line: &str| run(here, &format!("{line} --url {}", dev.url));
    let ingest = |what: &str| ask(&format!("ingest {what} --ontology film"));
    let first = ingest("texts more.jsonl --concurrency 3");
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let summary = json(&first);
    assert_eq!((&summary["documents"], &summary["extracted"]), (&7.into(), &7.into()));
    assert!(summary["facts"].as_u64() >= Some(14), "{summary}");
    let again = json(&ingest("more.jsonl texts"));
    assert_eq!((&again["extracted"], &again["stored"]), (&0.into(), &7.into()));
    assert_eq!(again["facts"], summary["facts"]);

    std::fs::write(at("broken.txt"), b"\0").unwrap();
    std::fs::write(at("new.txt"), format!("New. {FILM}")).unwrap();
    let partly = ingest("texts");
    assert_eq!(partly.status.code(), Some(6));
    assert!(text(&partly.stderr).contains("broken.txt: it is binary"), "{}", text(&partly.stderr));
    let partly = json(&partly);
    assert_eq!((&partly["extracted"], &partly["failed"]), (&1.into(), &1.into()), "{partly}");
    assert_eq!(ask("ingest more.jsonl --ontology flim").status.code(), Some(3));
    assert_eq!(ask("ontology ls").stdout, run(here, "ontology ls").stdout);
    assert_eq!(ask("ontology show foaf").stdout, run(here, "ontology show foaf").stdout);
    assert_eq!(ask("ontology show flim").status.code(), Some(3));
    for name in ["0.txt", "unread.txt"] {
        std::fs::write(at(name), format!("{name}. {FILM}")).unwrap();
        let events = ask(&format!("extract texts/{name} --ontology film --stream"));
        assert_eq!(events.status.code(), Some(0), "{}", text(&events.stderr));
        let events: Vec<Value> =
            text(&events.stdout).lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let has = |kind: &str| events.iter().any(|event| event["type"] == kind);
        assert!(has("started") && has("entity_found") && has("fact_found"), "{events:#?}");
        assert_eq!(events.last().unwrap()["type"], "completed", "{events:#?}");
    }
    let turtle = ask("extract texts/0.txt --ontology film --format turtle");
    assert!(text(&turtle.stdout).contains("schema:director"), "{turtle:?}");
}

#[test]
fn offsets_count_the_characters_of_the_file_as_it_is() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    let mut names = Vec::new();
    for (at, around) in [
        "Der Film „Das Boot“ wurde in München gedreht.",
        "Le film « Amélie » a été tourné à Paris.",
        "《卧虎藏龙》是李安执导的电影。",
        "הסרט „ואלס עם באשיר” יצא בשנת 2008.",
        "👩‍🚀🎬 e\u{301}te\u{301}",
        "One\r\nTwo\r\n\r\nThree",
        "\u{feff}Marked",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{at}.txt");
        std::fs::write(here.join(&name), format!("{around}\r\n\r\n{FILM}")).unwrap();
        names.push(name);
    }
    let graphs = run(here, &format!("extract {} --ontology {PACK} --format json", names.join(" ")));
    assert_eq!(graphs.status.code(), Some(0), "{}", text(&graphs.stderr));
    let graphs = json(&graphs);
    assert_eq!(graphs.as_array().unwrap().len(), names.len());
    for (name, graph) in names.iter().zip(graphs.as_array().unwrap()) {
        let characters: Vec<char> =
            std::fs::read_to_string(here.join(name)).unwrap().chars().collect();
        let place = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let mut found = Vec::new();
        for mention in graph["entities"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|entity| entity["mentions"].as_array().unwrap())
        {
            let there = &characters[place(&mention["start"])..place(&mention["end"])];
            let there: String = there.iter().collect();
            assert_eq!(mention["text"], there.as_str(), "{name}");
            found.push(there);
        }
        assert!(found.iter().any(|there| there == "Ridley Scott"), "{name}: {found:?}");
    }
    std::fs::write(here.join("long.txt"), "a ".repeat(600_000)).unwrap();
    let long = run(here, &format!("extract long.txt --ontology {PACK}"));
    assert_eq!(long.status.code(), Some(2));
    assert!(text(&long.stderr).contains("over the limit of 1048576"), "{}", text(&long.stderr));
}

/// A pack whose relation is called `kept`.
fn bees(kept: &str) -> String {
    format!(
        "id = \"bees\"\n[[class]]\nname = \"Apiary\"\niri = \"http://bees.example/Apiary\"\n\
         [[class]]\nname = \"Keeper\"\n[[relation]]\nname = \"{kept}\"\n\
         domain = [\"Apiary\"]\nrange = [\"Keeper\"]\niri = \"http://bees.example/{kept}\"\n\
         [[sentence]]\ntext = \"Stone Wall is kept by Eva Brandt.\"\n\
         triples = [[\"Stone Wall\", \"{kept}\", \"Eva Brandt\"]]\n\
         [[sentence]]\ntext = \"Mill Lane is kept by Peter Lind.\"\n\
         triples = [[\"Mill Lane\", \"{kept}\", \"Peter Lind\"]]\n"
    )
}

#[test]
fn a_pack_is_put_used_changed_and_removed() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    let write = |name: &str, content: &str| std::fs::write(here.join(name), content).unwrap();
    write("oak.txt", "Old Oak is kept by Anna Holt.");
    write("bees.toml", &bees("keptBy"));
    write("torn.toml", &bees("keptBy").replace("range = [\"Keeper\"]", "range = [\"Kepper\"]"));
    let away = run(here, "ontology put bees.toml --url http://127.0.0.1:1");
    assert_eq!(away.status.code(), Some(5), "{away:?}");
    let dev = Dev::start(here);
    let ask = |line: &str| run(here, &format!("{line} --url {}", dev.url));

    let torn = ask("ontology put torn.toml");
    assert_eq!(torn.status.code(), Some(2), "{torn:?}");
    assert!(text(&torn.stderr).contains("torn.toml:7: relation keptBy: names the unknown class"));
    assert_eq!(ask("extract oak.txt --ontology bees").status.code(), Some(3));
    let placed = ask("ontology put bees.toml");
    assert_eq!(placed.status.code(), Some(0), "{placed:?}");
    assert!(text(&placed.stderr).contains("note: the examples are not said to be fully annotated"));
    let first = json(&placed);
    assert_eq!((&first["id"], &first["created"]), (&"bees".into(), &true.into()), "{first}");
    let graph = json(&ask("extract oak.txt --ontology bees"));
    assert_eq!(graph["ontologyVersion"], first["version"], "{graph}");
    assert_eq!(graph["relations"][0]["predicate"], "keptBy");
    let turtle = ask("extract oak.txt --ontology bees --format turtle");
    assert!(text(&turtle.stdout).contains("<http://bees.example/keptBy>"), "{turtle:?}");

    write("bees.toml", &bees("tendedBy"));
    let table = ask("ontology put bees.toml -o table");
    assert!(text(&table.stdout).contains("in place of the one before"), "{table:?}");
    let graph = json(&ask("extract oak.txt --ontology bees"));
    assert_ne!(graph["ontologyVersion"], first["version"]);
    assert_eq!(graph["relations"][0]["predicate"], "tendedBy");
    let listed = json(&ask("ontology ls"));
    let listed = listed.as_array().unwrap().iter().find(|it| it["id"] == "bees").unwrap();
    assert_eq!((&listed["version"], &listed["origin"]), (&graph["ontologyVersion"], &"put".into()));
    assert_eq!(json(&ask("ontology show bees"))["relations"][0]["name"], "tendedBy");

    write("terms.ttl", "<urn:Hive> a <http://www.w3.org/2002/07/owl#Class> .\n");
    assert_eq!(json(&ask("ontology put terms.ttl --id hives"))["id"], "hives");
    for (line, code) in [
        ("ontology put bees.toml --id film", 4),
        ("ontology rm person", 4),
        ("ontology rm bees", 0),
        ("ontology rm bees", 3),
        ("ontology show bees", 3),
        ("extract oak.txt --ontology bees", 3),
    ] {
        assert_eq!(ask(line).status.code(), Some(code), "{line}");
    }
}

#[test]
fn what_an_extraction_records_is_listed_followed_and_destroyed() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    std::fs::write(here.join("film.txt"), FILM).unwrap();
    let dev = Dev::start(here);
    let ask = |line: &str| run(here, &format!("{line} --url {}", dev.url));
    let graph = json(&ask("extract film.txt --ontology film"));
    let stream = format!("extraction:{}", graph["requestId"].as_str().unwrap());
    let listed = json(&ask(&format!("journal ls {stream}")));
    let listed = listed.as_array().unwrap();
    assert_eq!((&listed[0]["type"], &listed[0]["sequence"]), (&"started".into(), &1.into()));
    assert_eq!(listed.last().unwrap()["type"], "completed");
    let table = text(&ask(&format!("journal ls {stream} --type fact_found -o table")).stdout);
    assert!(table.lines().skip(1).all(|line| line.contains("fact_found")), "{table}");
    assert!(table.contains("director"), "{table}");

    let mut tail = quarry(here);
    tail.args(["journal", "tail", &stream, "--after", "1", "-o", "jsonl", "--url", &dev.url]);
    let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut told = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    for entry in &listed[1..] {
        assert_eq!(told(), *entry);
    }
    let destroyed = ask(&format!("journal destroy {stream}"));
    assert_eq!(destroyed.status.code(), Some(0), "{}", text(&destroyed.stderr));
    assert_eq!(told()["type"], "journal_destroyed");
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_eq!(json(&ask(&format!("journal ls {stream}"))).as_array().unwrap().len(), 1);
    for (line, exit, said) in [
        ("journal ls extraction:never", 3, "nothing was recorded in the journal extraction:never"),
        ("journal ls film", 2, "extraction:<request id>"),
        ("journal destroy Counter/c", 3, "DestroyJournal"),
    ] {
        let output = ask(line);
        assert_eq!(output.status.code(), Some(exit), "{line}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{line}: {}", text(&output.stderr));
    }
}

#[test]
fn facts_that_are_streamed_to_people_name_their_entities() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    std::fs::write(here.join("film.txt"), FILM.repeat(40)).unwrap();
    let events = run(here, &format!("extract film.txt --ontology {PACK} --stream -o table"));
    let events = text(&events.stdout);
    assert!(events.contains("Blade Runner director Ridley Scott"), "{events}");
    let events = run(here, &format!("extract film.txt --ontology {PACK} --stream -o jsonl"));
    let events = text(&events.stdout);
    let told: Vec<&str> = events.lines().filter(|line| line.contains("progress")).collect();
    let mut once = told.clone();
    once.dedup();
    assert_eq!(told, once, "progress is told where there is some");
}
