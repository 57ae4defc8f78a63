//! The binary from outside: exit codes, stdout and stderr.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test starts and reads has to be there"
)]

use std::{
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// How long a node may take to start or to end.
const PATIENCE: Duration = Duration::from_mins(1);

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

#[test]
fn wrong_usage_ends_with_2_and_suggests() {
    let directory = TempDir::new().unwrap();
    let output = run(directory.path(), "clutser status");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cluster"), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    assert_eq!(run(directory.path(), "send Counter/c1 add five").status.code(), Some(2));
    assert_eq!(run(directory.path(), "send Counter add 5").status.code(), Some(2));
    assert_eq!(run(directory.path(), "--help").status.code(), Some(0));
}

#[test]
fn nobody_at_the_url_ends_with_5_and_says_what_to_do() {
    let directory = TempDir::new().unwrap();
    for (line, is_retried) in [
        ("cluster status", false),
        ("message ls", false),
        ("send Counter/c1 add 5", true),
        ("extract a.txt --ontology film", true),
    ] {
        std::fs::write(directory.path().join("a.txt"), "Alien is a film.").unwrap();
        let output = run(directory.path(), &format!("{line} --url http://127.0.0.1:1"));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{line}: {told}");
        assert!(told.contains("no server answers at http://127.0.0.1:1: "), "{line}: {told}");
        assert!(told.contains("quarry dev") && !told.contains("/v1/"), "{line}: {told}");
        assert_eq!(told.contains("trying again"), is_retried, "{line}: {told}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn every_mistake_in_a_flag_names_the_flag() {
    let directory = TempDir::new().unwrap();
    let key = format!("send Counter/c1 add 5 --key {}", "k".repeat(300));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    let taken = format!("dev --port {taken} --store mysql://x");
    for (line, flag) in [
        (taken.as_str(), "--store"),
        ("dev --nodes 99", "--nodes"),
        ("dev --port x", "--port"),
        ("serve --store mysql://x", "--store"),
        ("serve --node x", "--node"),
        ("serve --voters x", "--voters"),
        ("serve --http x", "--http"),
        ("serve --cluster x", "--cluster"),
        ("serve --mesh x", "--mesh"),
        ("serve --roles x", "--roles"),
        ("bench durable --store mysql://x", "--store"),
        ("bench sends --sends 1000 --payload 900000", "--sends"),
        ("bench sends --store mysql://x", "--store"),
        ("bench chunks --readers 0", "--readers"),
        ("bench chunks --store mysql://x", "--store"),
        ("bench memory --idle-after 3", "--idle-after"),
        ("bench memory --idle-after 2d", "--idle-after"),
        ("bench memory --store mysql://x", "--store"),
        ("bench activation --concurrency 0", "--concurrency"),
        ("bench activation --store mysql://x", "--store"),
        ("status --url nowhere", "--url"),
        ("message ls --entity x", "--entity"),
        ("message ls --state x", "--state"),
        (key.as_str(), "--key"),
        ("send Counter/c1 add 5 --timeout 3", "--timeout"),
    ] {
        let output = run(directory.path(), line);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {told}");
        assert!(told.contains(flag), "{line} does not name {flag}: {told}");
    }
}

#[test]
fn a_misspelt_crash_point_stops_the_start_and_lists_the_points() {
    let directory = TempDir::new().unwrap();
    for line in ["serve", "dev --ephemeral --port 0"] {
        let mut command = quarry(directory.path());
        command.args(line.split_whitespace()).env("QUARRY_CRASH_POINT", "comitted:5");
        let output = command.output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {told}");
        assert!(told.contains("QUARRY_CRASH_POINT") && told.contains("committed"), "{told}");
    }
}

#[test]
fn all_mistakes_of_a_configuration_are_reported_at_once() {
    let directory = TempDir::new().unwrap();
    let file = "[node]\nid = \"x\"\nhtpp = \"a:1\"\n[cluster]\nlease_ttl = 3\n";
    std::fs::write(directory.path().join("quarry.toml"), file).unwrap();
    let mut command = quarry(directory.path());
    command.args(["config", "check"]).env("QUARRY_STORE__URL", "mysql://x");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    for part in [
        "4 mistakes",
        "quarry.toml:2: node.id",
        "quarry.toml:3: there is no key node.htpp (did you mean http?)",
        "quarry.toml:5: cluster.lease_ttl",
        "QUARRY_STORE__URL: store.url",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_corrupt_configuration_names_file_and_line() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("q.toml"), "[node]\nid = = 3\n").unwrap();
    let output = run(directory.path(), "serve --config q.toml");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("q.toml:2:"), "{}", text(&output.stderr));
}

#[test]
fn the_configuration_is_shown_with_origins_and_without_secrets() {
    let directory = TempDir::new().unwrap();
    let mut command = quarry(directory.path());
    command
        .args(["config", "show", "--origin", "-o", "json"])
        .env("QUARRY_CLUSTER__COOKIE", "c00kie".repeat(8))
        .env("QUARRY_STORE__URL", "postgres://me:hunter2@db/x");
    let output = command.output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!shown.contains("c00kie") && !shown.contains("hunter2"), "{shown}");
    let rows: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let row =
        |key: &str| rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!(row("store.url")["value"], "postgres://me:***@db/x");
    assert_eq!(row("store.url")["origin"], "QUARRY_STORE__URL");
    assert_eq!(row("cluster.lease_ttl")["origin"], "default");
}

#[test]
fn a_taken_port_names_the_flag_that_moves_it() {
    let directory = TempDir::new().unwrap();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    for (line, flag) in [
        (format!("dev --port {}", address.port()), "--port"),
        (format!("serve --http {address}"), "--http"),
        (format!("serve --http 127.0.0.1:0 --cluster {address}"), "--cluster"),
        (format!("serve --http 127.0.0.1:0 --cluster 127.0.0.1:0 --mesh {address}"), "--mesh"),
    ] {
        let output = run(directory.path(), &line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(text(&output.stderr).contains(flag), "{line}: {}", text(&output.stderr));
    }
}

/// Development nodes, ended with the test.
struct Dev {
    child: Child,
    url: String,
    ready: serde_json::Value,
}

impl Dev {
    fn start(directory: &Path, more: &str) -> Self {
        let mut command = quarry(directory);
        command.args(["dev", "--port", "0", "-o", "json"]).args(more.split_whitespace());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = child.stdout.take().unwrap();
        let mut byte = [0];
        while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(char::from(byte[0]));
        }
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = ready["nodes"][0]["url"].as_str().unwrap().to_owned();
        Self { child, url, ready }
    }

    fn ask(&self, directory: &Path, line: &str) -> Output {
        run(directory, &format!("{line} --url {}", self.url))
    }

    /// Ends it with SIGTERM; its exit code.
    fn end(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        let mut code = None;
        wait_until("the process ends", || {
            let status = self.child.try_wait().unwrap();
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        code
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// `host:port` of every node.
    fn addresses(&self) -> Vec<String> {
        let nodes = self.ready["nodes"].as_array().unwrap();
        nodes
            .iter()
            .map(|node| node["url"].as_str().unwrap().trim_start_matches("http://").to_owned())
            .collect()
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = quarry_ports::Host::system();
    let deadline = clock.now().after(PATIENCE);
    while !holds() {
        assert!(clock.now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_development_node_keeps_what_it_was_sent() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    let dev = Dev::start(here, "");
    let sent = dev.ask(here, "send Counter/c1 add 5 --key k1");
    assert_eq!((sent.status.code(), text(&sent.stdout).as_str()), (Some(0), "5\n"));
    let again = dev.ask(here, "send Counter/c1 add 5 --key k1");
    assert_eq!(text(&again.stdout), "5\n", "the same key is handled once");
    let conflict = dev.ask(here, "send Counter/c1 add 6 --key k1");
    assert_eq!(conflict.status.code(), Some(4), "{}", text(&conflict.stderr));
    let unknown = dev.ask(here, "send Nothing/c1 add 6");
    assert_eq!(unknown.status.code(), Some(3), "{}", text(&unknown.stderr));
    assert!(text(&unknown.stderr).contains("Counter"), "{}", text(&unknown.stderr));
    let status = dev.ask(here, "cluster status -o json");
    let cluster: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(cluster["leader"], 1);
    let listed = dev.ask(here, "message ls --entity Counter/c1 -o jsonl");
    assert_eq!(text(&listed.stdout).lines().count(), 1);
    let later = dev.ask(here, "send Counter/c2 add 5 --delay 300ms -o json");
    let later: serde_json::Value = serde_json::from_slice(&later.stdout).unwrap();
    let delayed = dev.ask(here, "message ls --state delayed -o jsonl");
    assert!(text(&delayed.stdout).contains(later["messageId"].as_str().unwrap()));
    let show = format!("message show {} --wait 30s", later["messageId"].as_str().unwrap());
    let ended = dev.ask(here, &show);
    assert!(text(&ended.stdout).contains("finished"), "{}", text(&ended.stdout));
    operators_act_on_messages(&dev, here);
    a_discarded_message_leaves_nothing(&dev, here);
    assert_eq!(dev.ask(here, "status").status.code(), Some(0));
    assert_eq!(dev.end(), Some(0), "SIGTERM is a proper end");

    let dev = Dev::start(here, "");
    let read = dev.ask(here, "send Counter/c1 get");
    assert_eq!(text(&read.stdout), "5\n", "a restart keeps it");
    assert_eq!(dev.end(), Some(0));
}

fn a_discarded_message_leaves_nothing(dev: &Dev, here: &Path) {
    let passing = dev.ask(here, "send Counter/c3 add 5 --discard -o json");
    let passing: serde_json::Value = serde_json::from_slice(&passing.stdout).unwrap();
    let show =
        format!("message show {} --wait 30s -o json", passing["messageId"].as_str().unwrap());
    let ended: serde_json::Value = serde_json::from_slice(&dev.ask(here, &show).stdout).unwrap();
    assert_eq!(
        (&ended["state"], &ended["payload"]),
        (&"finished".into(), &serde_json::Value::Null)
    );
}

/// One message by its id, and those of an entity by a filter.
fn operators_act_on_messages(dev: &Dev, here: &Path) {
    let json = |line: &str| -> serde_json::Value {
        let ran = dev.ask(here, line);
        assert_eq!(ran.status.code(), Some(0), "{line}: {}", text(&ran.stderr));
        serde_json::from_slice(&ran.stdout).unwrap()
    };
    let later = json("send Counter/c3 add 5 --delay 1h -o json");
    let id = later["messageId"].as_str().unwrap();
    let done = json(&format!("message cancel {id} -o json"));
    assert_eq!(
        (&done["state"], &done["outcome"]["code"]),
        (&"finished".into(), &"cancelled".into())
    );
    let refused = dev.ask(here, &format!("message redrive {id}"));
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("already_finished"));
    for _ in 0..3 {
        json("send Counter/c3 add 5 --delay 1h -o json");
    }
    let counted = json("message cancel --entity Counter/c3 --dry-run -o json");
    assert_eq!((&counted["matched"], &counted["done"]), (&3.into(), &0.into()));
    let done = json("message cancel --entity Counter/c3 -o json");
    assert_eq!((&done["matched"], &done["done"]), (&3.into(), &3.into()));
}

#[test]
fn several_nodes_answer_as_one_and_end_with_their_parent() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    let dev = Dev::start(here, "--nodes 3 --no-restart");
    let addresses = dev.addresses();
    assert_eq!(addresses.len(), 3);
    for (turn, address) in addresses.iter().enumerate() {
        let line = format!("send Counter/c1 add 1 --url http://{address}");
        assert_eq!(text(&run(here, &line).stdout), format!("{}\n", turn + 1), "{line}");
    }
    let second = run(here, "dev --nodes 3 --port 0");
    assert_eq!(second.status.code(), Some(4), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains(&dev.child.id().to_string()));

    let victim = dev.ready["nodes"][0]["pid"].as_i64().unwrap();
    let victim = rustix::process::Pid::from_raw(i32::try_from(victim).unwrap()).unwrap();
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
    let line = format!("send Counter/c1 add 1 --key last --url http://{}", addresses[1]);
    let after = run(here, &line);
    assert_eq!(text(&after.stdout), "4\n", "{}", text(&after.stderr));

    dev.signal(rustix::process::Signal::KILL);
    for address in addresses {
        wait_until("the nodes end with their parent", || {
            std::net::TcpStream::connect(&address).is_err()
        });
    }
}

#[test]
fn a_text_is_read_with_a_server_and_without() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    let film = "Blade Runner is a 1982 film directed by Ridley Scott.\n";
    std::fs::write(here.join("film.txt"), film).unwrap();
    let dev = Dev::start(here, "");
    let asked = dev.ask(here, "extract film.txt --ontology film");
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    let again = dev.ask(here, "extract film.txt --ontology film");
    assert_eq!(asked.stdout, again.stdout, "the same text is read once");
    let graph: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let names: Vec<&str> = graph["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entity| entity["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"Ridley Scott") && names.contains(&"Blade Runner"), "{names:?}");
    let some = dev.ask(here, "extract film.txt missing.txt --ontology film");
    assert_eq!(some.status.code(), Some(6), "{}", text(&some.stderr));
    assert_eq!(dev.ask(here, "extract film.txt --ontology flim").status.code(), Some(3));
    assert_eq!(dev.ask(here, "extract missing.txt --ontology film").status.code(), Some(3));
}

#[test]
fn certificates_are_made_once_and_told_where_they_go() {
    let directory = TempDir::new().unwrap();
    let made = run(directory.path(), "cluster certs --out certs --nodes 1,2 -o table");
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let told = text(&made.stdout);
    for part in
        ["copy certs/node-2/ to /etc/quarry/tls/ of node 2", "ca.key on no node", "[cluster.tls]"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let permissions = |path: &str| {
        let file = std::fs::metadata(directory.path().join(path)).unwrap();
        file.permissions().mode() & 0o777
    };
    assert_eq!((permissions("certs/ca.key"), permissions("certs/node-1/node.key")), (0o600, 0o600));
    let key = std::fs::read(directory.path().join("certs/node-1/node.key")).unwrap();
    let again = run(directory.path(), "cluster certs --out certs --nodes 1,3");
    assert_eq!(again.status.code(), Some(4), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("certs/node-1 exists already"), "{}", text(&again.stderr));
    assert!(!directory.path().join("certs/node-3").exists());
    assert_eq!(std::fs::read(directory.path().join("certs/node-1/node.key")).unwrap(), key);
    // A node that comes later gets its certificate of the same authority.
    let later = run(directory.path(), "cluster certs --out certs --nodes 3 -o json");
    assert_eq!(later.status.code(), Some(0), "{}", text(&later.stderr));
    assert!(text(&later.stdout).contains("\"authorityIsNew\": false"), "{}", text(&later.stdout));
    let other = run(directory.path(), "cluster certs --out certs --nodes 4 --name east");
    assert_eq!(other.status.code(), Some(4), "{}", text(&other.stderr));
    std::fs::remove_file(directory.path().join("certs/ca.key")).unwrap();
    let without = run(directory.path(), "cluster certs --out certs --nodes 4");
    assert_eq!(without.status.code(), Some(4));
    assert!(text(&without.stderr).contains("ca.key is not"), "{}", text(&without.stderr));
}

/// What `config check` says of credentials, with the file it says it of.
fn checked(directory: &Path, lines: &str, node: u64) -> String {
    let file = format!("[node]\nid = {node}\n[cluster.tls]\n{lines}");
    std::fs::write(directory.join("quarry.toml"), file).unwrap();
    let output = run(directory, "config check");
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 2)), "{code:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn credentials_that_do_not_fit_are_told_with_file_and_reason() {
    let directory = TempDir::new().unwrap();
    let place = directory.path();
    for (out, name) in [("a", "quarry"), ("b", "quarry"), ("c", "east")] {
        let line = format!("cluster certs --out {out} --nodes 1,2 --name {name}");
        assert_eq!(run(place, &line).status.code(), Some(0));
    }
    let files = |ca: &str, cert: &str, key: &str| {
        format!("ca = \"{ca}/ca.pem\"\ncert = \"{cert}/node.pem\"\nkey = \"{key}/node.key\"\n")
    };
    assert_eq!(checked(place, &files("a", "a/node-1", "a/node-1"), 1), "");
    let none = checked(place, &files("x", "y", "z"), 1);
    for part in [
        "3 mistakes",
        "quarry.toml:4: cluster.tls.ca x/ca.pem: there is no such file",
        "quarry.toml:5: cluster.tls.cert y/node.pem: there is no such file",
        "quarry.toml:6: cluster.tls.key z/node.key: there is no such file",
    ] {
        assert!(none.contains(part), "{part}: {none}");
    }
    for (lines, node, part) in [
        (
            files("b", "a/node-1", "a/node-1"),
            1,
            "node.pem: the certificate is not of the authority",
        ),
        (files("a", "a/node-1", "a/node-1"), 2, "is for node-1.quarry.quarry, and this is node 2"),
        (files("c", "c/node-1", "c/node-1"), 1, "is for node-1.east.quarry"),
        (files("a", "a/node-1", "a/node-2"), 1, "node.key: the key is not that of the certificate"),
        ("ca = \"a/ca.pem\"\n".to_owned(), 1, "cluster.tls.ca is set and cluster.tls.key is not"),
    ] {
        let told = checked(place, &lines, node);
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_doctor_without_a_server_looks_at_the_machine_and_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let finds = |code: &str| {
        let output = run(directory.path(), "doctor --url http://127.0.0.1:1 -o json");
        assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = told["findings"].as_array().unwrap();
        findings.iter().any(|finding| finding["code"] == code)
    };
    assert!(finds("no_server") && finds("database"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    std::fs::write(directory.path().join("quarry.toml"), "[node]\nid = \"x\"\n").unwrap();
    assert!(finds("configuration") && !finds("database"));
    let output = run(directory.path(), "doctor message x");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
