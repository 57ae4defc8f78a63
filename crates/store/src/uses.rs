//! Which entity types a database has rows of, and in which spaces: for a coordinator that is made anew
//! over rows that are there already.

use std::{collections::BTreeSet, path::Path};

use quarry_types::{EntityType, Space};
use sqlx::{
    Connection as _, PgConnection, SqliteConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};

use crate::{fence_sql::ids_of, open::OpenError, postgres};

/// What stands in a database, by entity type and space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// The spaces of which a shard was ever loaded.
    pub loaded: BTreeSet<Space>,
    /// Where the messages and journals of a type are, as far as they are retained.
    pub placed: BTreeSet<(EntityType, Space)>,
    /// The types that were used, those of which there are only states included.
    pub types: BTreeSet<EntityType>,
}

/// Reads every message, or an index of them: for starts after a disaster only.
const ROWS: &str = "select distinct entity_type, space from (\
    select '' as entity_type, shard / $1 as space from shard_fence \
    union all select entity_type, shard / $1 from message \
    union all select entity_type, shard / $1 from open_message \
    union all select entity_type, shard / $1 from journal \
    union all select entity_type, -1 from entity_state) u";

/// Looks at the migrated database at `url`, and changes nothing.
///
/// # Errors
/// [`OpenError`], as [`open`](crate::open); where a row is no entity's, as of a database that does not
/// answer.
pub async fn uses(url: &str) -> Result<Uses, OpenError> {
    let (store, rows) = if let Some(path) = crate::open::sqlite_path(url)? {
        (format!("sqlite {}", path.display()), sqlite(&path).await)
    } else {
        let parsed = postgres::parse(url)?;
        (postgres::name(&parsed), server(parsed).await)
    };
    let failed = |reason: String| OpenError::Database { store: store.clone(), reason };
    let mut found = Uses::default();
    for (name, space) in rows.map_err(|error| failed(error.to_string()))? {
        let space = u16::try_from(space).ok().map(Space);
        if name.is_empty() {
            found.loaded.extend(space);
            continue;
        }
        let entity_type = EntityType::new(&name).map_err(|error| failed(error.to_string()))?;
        found.placed.extend(space.map(|space| (entity_type.clone(), space)));
        found.types.insert(entity_type);
    }
    Ok(found)
}

/// How many ids of shards a space has.
fn per_space() -> i64 {
    ids_of(Space::DEFAULT).1.saturating_add(1)
}

async fn sqlite(path: &Path) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query_as(ROWS).bind(per_space()).fetch_all(&mut connection).await
}

async fn server(parsed: PgConnectOptions) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let mut connection = PgConnection::connect_with(&parsed).await?;
    sqlx::query_as(ROWS).bind(per_space()).fetch_all(&mut connection).await
}
