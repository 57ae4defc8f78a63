//! Tests of the public library.

#[cfg(test)]
mod formats;
#[cfg(test)]
mod graphs;
#[cfg(test)]
mod induced;
#[cfg(test)]
mod measured;
#[cfg(test)]
mod ordinary;
#[cfg(test)]
mod packs;
#[cfg(test)]
mod rdf;
#[cfg(test)]
mod score;
#[cfg(test)]
mod texts;
#[cfg(test)]
mod titles;
