//! Writes what the author need not.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};

use crate::{
    method::{Kind, Method, Part},
    parse::{Entity, variant},
};

/// The block, and the trait's implementation; or the first mistake.
pub(crate) fn expand(attribute: &TokenStream, block: TokenStream) -> TokenStream {
    match Entity::parse(attribute, block) {
        Ok(entity) => written(&entity),
        Err(mistake) => mistake.into_compile_error(),
    }
}

fn written(entity: &Entity) -> TokenStream {
    let Entity { itself, block, constants, .. } = entity;
    let (commands, queries): (Vec<&Method>, Vec<&Method>) =
        entity.methods.iter().partition(|method| method.kind == Kind::Command);
    let (command_enum, query_enum) = (messages("Command", &commands), messages("Query", &queries));
    let has_name = constants.iter().any(|constant| constant.ident == "TYPE");
    let name = &entity.name;
    let type_name = (!has_name).then(|| quote!(const TYPE: &'static str = #name;));
    let own_state = entity.state.is_none().then(|| {
        quote!(
            type State = Self;
        )
    });
    let state = &entity.state;
    let read_mode = read_mode(&queries);
    let handle = handler(entity, "handle", &quote!(&mut Self::State), "Command", &commands);
    let read = handler(entity, "read", &quote!(&Self::State), "Query", &queries);
    quote! {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::ptr_arg,
            clippy::ref_option,
            clippy::trivially_copy_pass_by_ref,
            clippy::unused_self,
            reason = "a receiver says how a message is delivered, an argument what its body is"
        )]
        #block

        const _: () = {
            #command_enum
            #query_enum

            #[automatically_derived]
            impl ::quarry::runtime::Entity for #itself {
                #type_name
                #(#constants)*
                #state
                #own_state
                type Command = Command;
                type Query = Query;

                #read_mode
                #handle
                #read
            }
        };
    }
}

/// The messages of one kind: one variant per method, with what its function takes.
fn messages(kind: &str, methods: &[&Method]) -> TokenStream {
    let kind = format_ident!("{kind}");
    let variants = methods.iter().map(|method| {
        let (name, variant) = (&method.name, variant(&method.function));
        let fields = fields(method, true);
        quote!(#[serde(rename = #name)] #variant #fields)
    });
    quote! {
        #[doc(hidden)]
        #[derive(::quarry::serde::Deserialize)]
        #[serde(crate = "::quarry::serde", deny_unknown_fields)]
        pub enum #kind { #(#variants),* }
    }
}

/// A variant's fields, with their types where it is declared, without where it is matched.
fn fields(method: &Method, is_declared: bool) -> TokenStream {
    let mut members = Vec::new();
    for Part { name, of, is_whole, .. } in method.arguments.iter().flatten() {
        match (is_whole, is_declared) {
            (true, true) => return quote!((#of)),
            (true, false) => return quote!((#name)),
            (false, true) => members.push(quote!(#name: #of)),
            (false, false) => members.push(quote!(#name)),
        }
    }
    if members.is_empty() { TokenStream::new() } else { quote!({ #(#members),* }) }
}

/// The trait's function that handles the messages of one kind. Its own names are of this macro
/// alone, whatever the author's arguments are called.
fn handler(
    entity: &Entity,
    function: &str,
    state_type: &TokenStream,
    kind: &str,
    methods: &[&Method],
) -> TokenStream {
    let (function, kind) = (format_ident!("{function}"), format_ident!("{kind}"));
    let of_the_macro = |name: &str| Ident::new(name, Span::mixed_site());
    let [state, message, context] = ["state", "message", "context"].map(of_the_macro);
    let itself = &entity.itself;
    let arms = methods.iter().map(|method| {
        let (function, variant) = (&method.function, variant(&method.function));
        let fields = fields(method, false);
        let shared = (entity.state.is_some() && method.has_receiver).then(|| quote!(self,));
        let arguments = method.arguments.iter().map(|argument| match argument {
            None => quote!(#context),
            Some(Part { name, is_borrowed: true, .. }) => quote!(&#name),
            Some(Part { name, .. }) => quote!(#name),
        });
        let awaited = method.is_async.then(|| quote!(.await));
        let tried = method.may_fail.then(|| quote!(?));
        quote! {
            #kind::#variant #fields => ::quarry::runtime::Reply::of(
                &<#itself>::#function(#shared #state, #(#arguments),*) #awaited #tried
            )
        }
    });
    quote! {
        async fn #function(
            &self,
            #state: #state_type,
            #message: Self::#kind,
            #context: &::quarry::runtime::Context,
        ) -> ::core::result::Result<::quarry::runtime::Reply, ::quarry::runtime::HandlerError> {
            let _ = (&#state, #context);
            match #message { #(#arms),* }
        }
    }
}

/// Says which queries are current reads.
fn read_mode(queries: &[&Method]) -> TokenStream {
    let is_current = |method: &&&Method| method.kind == Kind::Query { is_current: true };
    let names: Vec<&String> =
        queries.iter().filter(is_current).map(|method| &method.name).collect();
    if names.is_empty() {
        return TokenStream::new();
    }
    quote! {
        fn read_mode(query: &str) -> ::quarry::runtime::ReadMode {
            match query {
                #(#names)|* => ::quarry::runtime::ReadMode::Current,
                _ => ::quarry::runtime::ReadMode::Local,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(block: &str) -> String {
        let block: TokenStream = block.parse().unwrap();
        match Entity::parse(&TokenStream::new(), block) {
            Ok(_) => panic!("no mistake was found"),
            Err(mistake) => mistake.to_string(),
        }
    }

    #[test]
    fn what_is_no_entity_is_told_with_its_reason() {
        for (block, reason) in [
            ("impl A {}", "without methods"),
            ("impl A { fn new() -> Self {} }", "`&mut self` to change the state"),
            ("impl A { fn eat(self) {} }", "`&mut self` to change the state"),
            ("impl A { type State = u8; fn a(&self, n: u8) {} }", "and then the state"),
            ("impl A { type State = u8; fn a(&mut self, n: &u8) {} }", "and then the state"),
            (
                "impl A { type State = u8; fn a(context: &Context, n: &u8) {} }",
                "and then the state",
            ),
            ("impl A { type Other = u8; fn a(&self) {} }", "holds methods"),
            ("impl A { fn a(&self, n: &mut u8) {} }", "only the state can be changed"),
            ("impl A { fn a(&self, (n, m): (u8, u8)) {} }", "has a name"),
            ("impl A { fn a(&self, #[body] n: u8, m: u8) {} }", "not both"),
            ("impl A { fn a<T>(&self, n: T) {} }", "no type parameters"),
            ("impl<T> A<T> { fn a(&self) {} }", "no generic parameters"),
            ("impl B for A { fn a(&self) {} }", "without a trait"),
            ("impl A { #[method(current)] fn a(&mut self) {} }", "for those that read"),
            ("impl A { fn _a(&self) {} }", "at most 63 letters"),
            ("impl A { #[method(name = \"a b\")] fn a(&self) {} }", "at most 63 letters"),
            ("impl A { #[method(fast)] fn a(&self) {} }", "`name = \"…\"` and `current`"),
            ("impl A { fn a(&self) {} #[method(name = \"a\")] fn b(&self) {} }", "second method"),
        ] {
            let told = mistake(block);
            assert!(told.contains(reason), "{block}: {told}");
        }
        let told = expand(&quote!(fast), quote!(impl A { fn a(&self) {} })).to_string();
        assert!(told.contains("compile_error") && told.contains("takes no arguments"), "{told}");
    }

    #[test]
    fn a_name_of_the_author_is_not_taken_for_one_of_the_macro() {
        let block = quote!(impl A { fn put(&mut self, state: u8, context: u8) {} });
        let entity = Entity::parse(&TokenStream::new(), block).unwrap();
        let method = entity.methods.first().unwrap();
        assert_eq!(fields(method, false).to_string(), "{ state , context }");
        assert_eq!(variant(&format_ident!("move_to")), "MoveTo");
        assert_eq!(variant(&format_ident!("r#type")), "Type");
    }
}
