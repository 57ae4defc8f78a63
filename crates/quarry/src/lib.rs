//! The facade for authors of entities.
