//! Lays the layers over one another.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use config::{Config, Map, Value, ValueKind};

use super::{
    catalogue::{KEYS, Key},
    environment, file,
    kind::Kind,
    layer::Layer,
    mistake::{Mistake, Mistakes},
    named::{Named, TYPED, TYPES},
    rules,
    secret::mask_url,
    settings::Settings,
};

/// Where a configuration is read from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// What the command itself presets, above the defaults.
    pub(crate) presets: Layer,
    /// The file, where there is one.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) variables: BTreeMap<String, String>,
    /// Flags: key, flag, text.
    pub(crate) flags: Vec<(&'static str, &'static str, String)>,
}

/// The name of the file that is read where none is named.
const FILE: &str = "quarry.toml";

impl Sources {
    /// The process's environment, and the file that is named or lies in the working directory.
    pub(crate) fn of_process(named: Option<&Path>) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, text)| {
                Some((name.into_string().ok()?, text.to_string_lossy().into_owned()))
            })
            .collect();
        let file = named
            .map(Path::to_path_buf)
            .or_else(|| Path::new(FILE).exists().then(|| PathBuf::from(FILE)));
        Self { file, variables, ..Self::default() }
    }
}

/// A configuration that is right.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) settings: Settings,
    /// Every key as it may be shown.
    pub(crate) shown: Vec<Shown>,
    /// What was passed over.
    pub(crate) warnings: Vec<String>,
}

/// A key as it may be shown.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Shown {
    /// `section.key`.
    pub(crate) key: String,
    /// Its value, secrets as `***`; `None` where none is given.
    pub(crate) value: Option<String>,
    /// Where it came from.
    pub(crate) origin: String,
}

/// Where the value of each key came from.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeMap<String, String>);

impl Origins {
    /// Where the value of the key at `path` came from.
    pub(crate) fn of(&self, path: &str) -> String {
        self.0.get(path).cloned().unwrap_or_else(|| "default".to_owned())
    }
}

/// Reads the sources; later ones win.
///
/// # Errors
/// All mistakes of all sources.
pub(crate) fn load(sources: Sources) -> Result<Loaded, Mistakes> {
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    let file = sources.file.as_deref().map(|path| file::read(path, &mut mistakes));
    let variables = environment::read(&sources.variables, &mut mistakes, &mut warnings);
    let mut flags = Layer::default();
    for (path, flag, text) in &sources.flags {
        mistakes.extend(flags.set(path, text, flag).err());
    }
    let built = Config::builder()
        .add_source(Layer::defaults())
        .add_source(sources.presets)
        .add_source(file.unwrap_or_default())
        .add_source(variables)
        .add_source(flags)
        .build();
    let read = built.and_then(|built| {
        let tree = built.cache.clone().into_table()?;
        Ok((tree, built.try_deserialize::<Settings>()?))
    });
    let (tree, settings) = match read {
        Ok(read) => read,
        Err(error) if mistakes.is_empty() => {
            return Err(Mistakes(vec![Mistake::new("configuration", error.to_string())]));
        }
        Err(_) => return Err(Mistakes(mistakes)),
    };
    let (shown, origins) = show(&tree);
    mistakes.extend(rules::check(&settings, &origins));
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    Ok(Loaded { settings, shown, warnings })
}

fn show(tree: &Map<String, Value>) -> (Vec<Shown>, Origins) {
    let mut origins = Origins::default();
    let shown = KEYS
        .iter()
        .map(Named::from)
        .chain(of_types(tree))
        .map(|name| {
            let value = find(tree, &name.place());
            let origin = value.and_then(Value::origin).unwrap_or("not set").to_owned();
            let (key, value) = (name.to_string(), value.map(|value| write(name.key, value)));
            origins.0.insert(key.clone(), origin.clone());
            Shown { key, value, origin }
        })
        .collect();
    (shown, origins)
}

/// The value at `place`.
fn find<'a>(tree: &'a Map<String, Value>, place: &[&str]) -> Option<&'a Value> {
    match place {
        [] => None,
        [name] => tree.get(*name),
        [name, rest @ ..] => find(table(tree.get(*name)?)?, rest),
    }
}

fn table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

/// What is given for single entity types.
fn of_types(tree: &Map<String, Value>) -> Vec<Named> {
    let mut given = Vec::new();
    for (of, values) in find(tree, &[TYPED, TYPES]).and_then(table).into_iter().flatten() {
        let names = table(values).into_iter().flatten().map(|(name, _)| name);
        given.extend(names.filter_map(|name| Named::of_type(of, name).ok()));
    }
    given.sort_by_key(Named::to_string);
    given
}

fn write(key: &Key, value: &Value) -> String {
    match key.kind {
        Kind::Secret => "***".to_owned(),
        Kind::Url => mask_url(&value.to_string()),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_flags(flags: &[(&'static str, &'static str, &str)]) -> Sources {
        Sources {
            flags: flags.iter().map(|(path, flag, text)| (*path, *flag, (*text).into())).collect(),
            ..Sources::default()
        }
    }

    fn origin_of(loaded: &Loaded, path: &str) -> (Option<String>, String) {
        let shown = loaded.shown.iter().find(|shown| shown.key == path).unwrap();
        (shown.value.clone(), shown.origin.clone())
    }

    #[test]
    fn later_layers_win_and_origins_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("q.toml");
        std::fs::write(&file, "[node]\nid = 2\nhttp = \"127.0.0.1:1\"\nmesh = \"127.0.0.1:2\"\n")
            .unwrap();
        let mut sources = with_flags(&[("node.mesh", "--mesh", "127.0.0.1:9")]);
        sources.variables.insert("QUARRY_NODE__HTTP".into(), "127.0.0.1:8".into());
        sources.variables.insert("QUARRY_NODE__MESH".into(), "127.0.0.1:8".into());
        sources.file = Some(file.clone());
        let loaded = load(sources).unwrap();
        assert_eq!(loaded.settings.node.id, 2);
        assert_eq!(loaded.settings.node.http.port, 8);
        assert_eq!(loaded.settings.node.mesh.port, 9);
        assert_eq!(origin_of(&loaded, "node.id").1, format!("{}:2", file.display()));
        assert_eq!(origin_of(&loaded, "node.http").1, "QUARRY_NODE__HTTP");
        assert_eq!(origin_of(&loaded, "node.mesh").1, "--mesh");
        assert_eq!(origin_of(&loaded, "cluster.lease_ttl"), (Some("3s".into()), "default".into()));
        assert_eq!(origin_of(&loaded, "node.advertise").0, None);
    }

    #[test]
    fn an_entity_type_may_have_values_of_its_own() {
        let mut sources = Sources::default();
        let variables = [
            ("COUNTER__RETENTION", "10s"),
            ("COUNTER__RESIDENTS", "9"),
            ("COUNTER__CONCURRENCY", "3"),
            ("KGExtractor__mailbox", "7"),
        ];
        for (name, text) in variables {
            sources.variables.insert(format!("QUARRY_ENTITIES__{name}"), text.into());
        }
        let loaded = load(sources).unwrap();
        let types = &loaded.settings.entities.types;
        assert_eq!(types["counter"].retention, Some(std::time::Duration::from_secs(10)));
        assert_eq!((types["counter"].mailbox, types["kgextractor"].mailbox), (None, Some(7)));
        assert_eq!((types["counter"].residents, types["counter"].concurrency), (Some(9), Some(3)));
        let shown = origin_of(&loaded, "entities.counter.retention");
        assert_eq!(shown, (Some("10s".into()), "QUARRY_ENTITIES__COUNTER__RETENTION".into()));
    }

    #[test]
    fn secrets_are_never_shown() {
        let mut sources = with_flags(&[("store.url", "--store", "postgres://me:hunter2@db/x")]);
        let cookie = "c00kie".repeat(8);
        sources.variables.insert("QUARRY_CLUSTER__COOKIE".into(), cookie.clone());
        let loaded = load(sources).unwrap();
        let everything = format!("{loaded:?}");
        assert!(!everything.contains("hunter2") && !everything.contains(&cookie), "{everything}");
        assert_eq!(loaded.settings.cluster.cookie.unwrap().reveal(), cookie);
    }

    #[test]
    fn rules_between_keys_name_where_the_value_came_from() {
        for (flags, part) in [
            (
                vec![("cluster.shards", "--x", "100")],
                "--x: cluster.shards must be a power of two, as 128 is",
            ),
            (
                vec![("cluster.lease_ttl", "--x", "1s")],
                "--x: cluster.lease_ttl does not fit: time to live of 1s: must be between 4 heartbeats",
            ),
            (
                vec![("cluster.lease_ttl", "--x", "1s"), ("cluster.heartbeat", "--y", "200ms")],
                "--x: cluster.lease_ttl does not fit: time to live of 1s: leases have to outlive",
            ),
            (vec![("node.http", "--http", "0.0.0.0:7410")], "--http: node.http is 0.0.0.0:7410"),
            (vec![("node.mesh", "--mesh", "10.0.0.1:7412")], "cluster.insecure = true"),
            (
                vec![("cluster.voters", "--voters", "1=10.0.0.1:1")],
                "voter 1 is at 10.0.0.1:1: beyond",
            ),
            (
                vec![("cluster.tls.key", "--x", "k")],
                "cluster.tls.key is set and cluster.tls.ca is not",
            ),
            (vec![("node.roles", "--roles", "runner")], "must name the coordinator"),
            (vec![("cluster.voters", "--voters", "2=h:1")], "node 1 has the role coordinator"),
            (vec![("cluster.voters", "--voters", "1=h:1,2=h:2")], "needs cluster.cookie"),
        ] {
            let mistakes = load(with_flags(&flags)).unwrap_err().to_string();
            assert!(mistakes.contains(part), "{part}: {mistakes}");
        }
    }

    #[test]
    fn times_are_refused_that_the_coordinator_would_not_start_with() {
        for (heartbeat, ttl, wrong) in [
            ("10ms", "1413ms", None),
            ("10s", "5m", None),
            ("353ms", "1412ms", None),
            ("200ms", "1411ms", Some("have to outlive an election")),
            ("200ms", "1s", Some("have to outlive an election")),
            ("354ms", "1415ms", Some("between 4 heartbeats of 354ms and 5min")),
            ("9ms", "3s", Some("--h: cluster.heartbeat must be between 10 ms and 10000 ms")),
            ("10001ms", "5m", Some("--h: cluster.heartbeat must be between 10 ms and 10000 ms")),
            ("1s", "301s", Some("--t: cluster.lease_ttl must be between 40 ms and 300000 ms")),
        ] {
            let flags =
                [("cluster.heartbeat", "--h", heartbeat), ("cluster.lease_ttl", "--t", ttl)];
            match (load(with_flags(&flags)), wrong) {
                (Ok(loaded), None) => {
                    assert!(loaded.settings.cluster.times().leases().is_ok(), "{flags:?}");
                }
                (Err(mistakes), Some(part)) => {
                    let mistakes = mistakes.to_string();
                    assert!(mistakes.contains(part), "{part}: {mistakes}");
                }
                (loaded, _) => panic!("{flags:?}: {loaded:?}"),
            }
        }
    }

    #[test]
    fn mistakes_of_all_layers_are_reported_together() {
        let mut sources = with_flags(&[("node.id", "--node", "x")]);
        sources.variables.insert("QUARRY_NODE__HTTP".into(), "nowhere".into());
        sources.file = Some(PathBuf::from("/no/such/file.toml"));
        let mistakes = load(sources).unwrap_err();
        assert_eq!(mistakes.0.len(), 3, "{mistakes}");
    }
}
