//! `#[entity]`: makes an entity of a type's methods. The facade `quarry` re-exports and explains it.

mod expand;
mod method;
mod parse;

use proc_macro::TokenStream;

/// Makes an entity of the type whose methods stand in this `impl` block.
#[proc_macro_attribute]
pub fn entity(attribute: TokenStream, block: TokenStream) -> TokenStream {
    expand::expand(&attribute.into(), block.into()).into()
}
