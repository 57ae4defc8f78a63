//! The binary `quarry`.

fn main() {}
