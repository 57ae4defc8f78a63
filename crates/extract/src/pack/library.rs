//! The ontologies that a node knows: the built-in ones, and those that were put, compiled.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use quick_cache::{Weighter, sync::Cache};
use tokio::sync::Semaphore;

use super::{BUILT_IN, Ontologies, Ontology, PackError, Source};
use crate::Embedded;

/// How many compiled ontologies are expected.
const EXPECTED: usize = 128;
/// What the compiled ones weigh at most, in bytes as estimated.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// How many are compiled or induced at a time: each takes a core and its memory.
const AT_A_TIME: usize = 2;

/// One version of an ontology of a tenant. Tenants share none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Edition {
    /// The tenant.
    pub tenant: String,
    /// The ontology's id.
    pub id: String,
    /// The hash of its content.
    pub version: String,
}

/// An ontology with its extractor, which is induced when it is first asked for.
#[derive(Debug)]
pub(crate) struct Compiled {
    ontology: Arc<Ontology>,
    embedded: OnceLock<Embedded>,
    weight: u64,
}

/// Why the source of an edition was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncompiled {
    /// It is not good.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// It is another version than was asked for.
    #[error("the pack of ontology {id} is of version {found}, not {asked}")]
    Other {
        /// The ontology.
        id: String,
        /// The version asked for.
        asked: String,
        /// The version that the pack has.
        found: String,
    },
    /// The program failed on it.
    #[error("the program failed on the pack of ontology {id}")]
    Broken {
        /// The ontology.
        id: String,
    },
}

/// Why an edition cannot be had.
#[derive(Clone, Debug)]
pub enum Unread<E> {
    /// Its source was not found.
    Source(E),
    /// Its source was not compiled.
    Pack(Uncompiled),
}

/// The ontologies that a node knows. Compiled ones are kept by tenant, id and content hash, as many
/// as memory allows: a changed ontology is another one, so that nothing here is ever stale.
#[derive(Debug)]
pub struct Library {
    built_in: Ontologies,
    induced: BTreeMap<String, Arc<Compiled>>,
    compiled: Cache<Edition, Arc<Compiled>, ByWeight>,
    working: Semaphore,
}

impl Library {
    /// A library of the built-in packs.
    ///
    /// # Errors
    /// Where one is wrong; tests make sure that none is.
    pub fn built_in() -> Result<Self, PackError> {
        Ontologies::built_in().map(Self::of)
    }

    /// A library with these ontologies built in.
    pub fn of(built_in: Ontologies) -> Self {
        let induced = built_in.iter().map(|it| (it.id().to_owned(), Compiled::new(it, 0)));
        Self {
            induced: induced.collect(),
            built_in,
            compiled: Cache::with_weighter(EXPECTED, MOST_BYTES, ByWeight),
            working: Semaphore::new(AT_A_TIME),
        }
    }

    /// The ontologies that are built in.
    pub fn own(&self) -> &Ontologies {
        &self.built_in
    }

    /// The pack of a built-in ontology as it was written, in TOML.
    pub fn own_source(&self, id: &str) -> Option<&'static str> {
        let own = self.built_in.get(id).ok()?;
        BUILT_IN.iter().find(|(known, _)| *known == own.id()).map(|(_, text)| *text)
    }

    /// An ontology that was put, or a built-in one. `source` is asked where it is not known yet.
    ///
    /// # Errors
    /// What `source` says, or why its pack was not compiled.
    pub async fn ontology<E>(
        &self,
        edition: &Edition,
        source: impl Future<Output = Result<Source, E>>,
    ) -> Result<Arc<Ontology>, Unread<E>> {
        Ok(Arc::clone(&self.compiled(edition, source).await?.ontology))
    }

    /// As [`Library::ontology`], with its extractor.
    pub(crate) async fn compiled<E>(
        &self,
        edition: &Edition,
        source: impl Future<Output = Result<Source, E>>,
    ) -> Result<Arc<Compiled>, Unread<E>> {
        let own = self.induced.get(&edition.id);
        if let Some(own) = own.filter(|own| own.ontology.version() == edition.version) {
            return Ok(Arc::clone(own));
        }
        let compile = async {
            let source = source.await.map_err(Unread::Source)?;
            self.compile(edition, source).await.map_err(Unread::Pack)
        };
        self.compiled.get_or_insert_async(edition, compile).await
    }

    async fn compile(
        &self,
        edition: &Edition,
        source: Source,
    ) -> Result<Arc<Compiled>, Uncompiled> {
        let found = source.version();
        if found != edition.version {
            let (id, asked) = (edition.id.clone(), edition.version.clone());
            return Err(Uncompiled::Other { id, asked, found });
        }
        // Never closed.
        let _working = self.working.acquire().await;
        let (id, bytes) = (edition.id.clone(), source.text.len());
        let compiled = tokio::task::spawn_blocking(move || source.compile(Some(&id))).await;
        let ontology = compiled.map_err(|_| Uncompiled::Broken { id: edition.id.clone() })??;
        Ok(Compiled::new(&Arc::new(ontology), bytes))
    }

    /// The extractor of a compiled ontology. Takes as long as inducing it, the first time.
    pub(crate) async fn embedded(&self, compiled: &Arc<Compiled>) -> Result<Embedded, Uncompiled> {
        if let Some(embedded) = compiled.embedded.get() {
            return Ok(embedded.clone());
        }
        let _working = self.working.acquire().await;
        let inducing = Arc::clone(compiled);
        let induce = move || {
            let ontology = Arc::clone(&inducing.ontology);
            inducing.embedded.get_or_init(|| Embedded::induce(ontology)).clone()
        };
        let induced = tokio::task::spawn_blocking(induce).await;
        induced.map_err(|_| Uncompiled::Broken { id: compiled.ontology.id().to_owned() })
    }
}

impl Compiled {
    fn new(ontology: &Arc<Ontology>, source_bytes: usize) -> Arc<Self> {
        // A pack of 55 KB takes some 5 MB with its extractor; a byte of a large one takes less, as no
        // more than a part of its examples is learned from.
        let bytes = u64::try_from(source_bytes).unwrap_or(u64::MAX);
        let weight = bytes.saturating_mul(8).saturating_add(4 * 1024 * 1024);
        Arc::new(Self { ontology: Arc::clone(ontology), embedded: OnceLock::new(), weight })
    }
}

#[derive(Clone, Copy, Debug)]
struct ByWeight;

impl Weighter<Edition, Arc<Compiled>> for ByWeight {
    fn weight(&self, _: &Edition, compiled: &Arc<Compiled>) -> u64 {
        compiled.weight
    }
}
