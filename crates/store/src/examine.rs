//! Looking at a database without changing it: for who wants to know whether a node could use it.

use std::path::Path;

use quarry_ports::Host;
use quarry_types::ClusterId;
use sqlx::{
    Connection as _, PgConnection, SqliteConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};

use crate::{
    database::bits,
    open::{OpenError, Options},
    postgres,
    schema::{self, Found, Migration},
    sqlite::{Machine, serves_another},
};

/// What a database is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Which one, without secrets.
    pub store: String,
    /// The version of the server, where it is one.
    pub server: Option<String>,
    /// The version of its schema; `None` where it has none yet.
    pub schema: Option<i64>,
    /// The version that this program brings it to.
    pub newest: i64,
    /// Whose it is; `None` before the first start of a cluster.
    pub cluster: Option<ClusterId>,
}

/// Asks for whatever of the schema is there.
const HAS_SQLITE: &str =
    "select count(*) from sqlite_master where name in ('schema_version', 'cluster_identity')";
const HAS_POSTGRES: &str = "select count(to_regclass(name)) \
    from (values ('schema_version'), ('cluster_identity')) as wanted (name)";
const OWNER: &str = "select cluster from cluster_identity";

/// Looks at the database at `url`, and changes nothing: whether [`open`](crate::open) would take it.
///
/// # Errors
/// [`OpenError`], as [`open`](crate::open).
pub async fn examine(url: &str, options: &Options, host: &Host) -> Result<Examined, OpenError> {
    if let Some(path) = crate::open::sqlite_path(url)? {
        return sqlite(&path, options, host).await;
    }
    let parsed = postgres::parse(url)?;
    server(parsed, options).await
}

async fn sqlite(path: &Path, options: &Options, host: &Host) -> Result<Examined, OpenError> {
    let store = format!("sqlite {}", path.display());
    let failed = |error: sqlx::Error| OpenError::Database {
        store: store.clone(),
        reason: error.to_string(),
    };
    let newest = schema::newest(schema::SQLITE);
    let found =
        Examined { store: store.clone(), server: None, schema: None, newest, cluster: None };
    if !path.exists() {
        return Ok(found);
    }
    let here = Machine::here(host);
    let reading = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = SqliteConnection::connect_with(&reading).await.map_err(failed)?;
    let tables: i64 =
        sqlx::query_scalar(HAS_SQLITE).fetch_one(&mut connection).await.map_err(failed)?;
    if tables < 2 {
        return Ok(found);
    }
    let schema = schema::found!(&mut connection, schema::SQLITE).await.map_err(failed)?;
    let owner: Option<i64> =
        sqlx::query_scalar(OWNER).fetch_optional(&mut connection).await.map_err(failed)?;
    let cluster = owner.map(|id| ClusterId(bits(id)));
    let found = known(schema::SQLITE, schema, Examined { cluster, ..found })?;
    let names_machine =
        found.schema >= Some(schema::NAMES_MACHINE) && !options.take_from_other_host;
    if names_machine && serves_another(&mut connection, here).await.map_err(failed)? {
        return Err(OpenError::OtherHost { store });
    }
    Ok(found)
}

async fn server(parsed: PgConnectOptions, options: &Options) -> Result<Examined, OpenError> {
    let store = postgres::name(&parsed);
    let database = |reason: String| OpenError::Database { store: store.clone(), reason };
    let failed = |error: sqlx::Error| database(error.to_string());
    let looking = async {
        let mut connection = PgConnection::connect_with(&parsed).await.map_err(failed)?;
        let durability: postgres::Durability = sqlx::query_as(postgres::DURABILITY)
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let server = durability.1.clone();
        postgres::check(durability, options, &store)?;
        let newest = schema::newest(schema::POSTGRES);
        let found = Examined {
            store: store.clone(),
            server: Some(server),
            schema: None,
            newest,
            cluster: None,
        };
        let tables: i64 =
            sqlx::query_scalar(HAS_POSTGRES).fetch_one(&mut connection).await.map_err(failed)?;
        if tables < 2 {
            return Ok(found);
        }
        let schema = schema::found!(&mut connection, schema::POSTGRES).await.map_err(failed)?;
        let owner: Option<i64> =
            sqlx::query_scalar(OWNER).fetch_optional(&mut connection).await.map_err(failed)?;
        let cluster = owner.map(|id| ClusterId(bits(id)));
        known(schema::POSTGRES, schema, Examined { cluster, ..found })
    };
    let within = postgres::LOOK_WITHIN;
    let late = || database(format!("no answer within {} s", within.as_secs()));
    tokio::time::timeout(within, looking).await.unwrap_or_else(|_| Err(late()))
}

/// What is `seen` of a database with the `schema`. Refuses what a newer program wrote, unless it serves
/// this one too.
fn known(
    migrations: &'static [Migration],
    schema: Found,
    seen: Examined,
) -> Result<Examined, OpenError> {
    match schema::pending(migrations, schema) {
        Ok(_) => Ok(Examined { schema: schema.version, ..seen }),
        Err(known) => {
            let found = schema.version.unwrap_or(0);
            Err(OpenError::Newer { store: seen.store, found, known })
        }
    }
}
