//! The entities of extraction on a node over in-memory adapters.

#[cfg(test)]
mod extraction;
#[cfg(test)]
mod ontologies;
#[cfg(test)]
mod world;
