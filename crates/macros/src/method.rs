//! Reads one function as a method of an entity.

use proc_macro2::Span;
use syn::{
    Attribute, Error, FnArg, Ident, ImplItemFn, LitStr, Pat, PatType, ReceiverKind, Result,
    ReturnType, Signature, Type, TypeReference, ext::IdentExt, parse_quote, spanned::Spanned,
};

/// A function that can be called by a message.
pub(crate) struct Method {
    /// Its name in messages.
    pub(crate) name: String,
    pub(crate) function: Ident,
    pub(crate) kind: Kind,
    /// What is handed to the function after the state, in order; none is the context.
    pub(crate) arguments: Vec<Option<Part>>,
    pub(crate) has_receiver: bool,
    pub(crate) is_async: bool,
    /// Whether it answers a `Result`.
    pub(crate) may_fail: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gets the state to change.
    Command,
    /// Gets the state to read.
    Query { is_current: bool },
}

/// What the message's body brings for one argument.
pub(crate) struct Part {
    pub(crate) name: Ident,
    /// The type that is read from JSON: owned, also where the function borrows it.
    pub(crate) of: Type,
    pub(crate) is_borrowed: bool,
    /// Whether it is the body as a whole, or a member of it.
    pub(crate) is_whole: bool,
}

impl Method {
    /// Reads `function`, and takes away from it what is meant for this macro alone.
    pub(crate) fn take(function: &mut ImplItemFn, has_own_state: bool) -> Result<Self> {
        let mut declared = Declared::default();
        while let Some(at) = function.attrs.iter().position(|it| it.path().is_ident("method")) {
            declared.read(&function.attrs.remove(at))?;
        }
        let signature = &mut function.sig;
        if !signature.generics.params.iter().all(|it| matches!(it, syn::GenericParam::Lifetime(_)))
        {
            let reason = "a method has no type parameters: it is called by a message";
            return Err(Error::new(signature.generics.span(), reason));
        }
        let kind = kind(signature, has_own_state)?;
        let kind = match (kind, declared.current) {
            (Kind::Command, Some(place)) => {
                let reason = "a method that may change the state is stored and handled once; \
                              `current` is for those that read";
                return Err(Error::new(place, reason));
            }
            (Kind::Query { .. }, current) => Kind::Query { is_current: current.is_some() },
            (kind, None) => kind,
        };
        let name = declared.name.unwrap_or_else(|| signature.ident.unraw().to_string());
        if !is_method(&name) {
            let reason = "a method's name is a letter, then at most 63 letters, digits or _";
            return Err(Error::new(signature.ident.span(), reason));
        }
        Ok(Self {
            name,
            function: signature.ident.clone(),
            kind,
            arguments: arguments(signature, has_own_state)?,
            has_receiver: signature.receiver().is_some(),
            is_async: signature.asyncness.is_some(),
            may_fail: may_fail(&signature.output),
        })
    }
}

/// What `#[method(…)]` says.
#[derive(Default)]
struct Declared {
    name: Option<String>,
    current: Option<Span>,
}

impl Declared {
    fn read(&mut self, attribute: &Attribute) -> Result<()> {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                self.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("current") {
                self.current = Some(meta.path.span());
            } else {
                return Err(meta.error("a method has `name = \"…\"` and `current`"));
            }
            Ok(())
        })
    }
}

/// Whether the function gets the state to change or to read.
fn kind(signature: &Signature, has_own_state: bool) -> Result<Kind> {
    let is_mutable = if has_own_state {
        let first = signature.inputs.iter().find_map(|input| match input {
            FnArg::Typed(argument) => Some(argument),
            FnArg::Receiver(_) => None,
        });
        match first.map(|argument| &*argument.ty) {
            Some(Type::Reference(reference)) if !is_context(reference) => {
                Some(reference.mutability.is_some())
            }
            _ => None,
        }
    } else {
        receiver(signature)
    };
    let is_shared = !has_own_state || receiver(signature) != Some(true);
    match is_mutable {
        Some(true) if is_shared => Ok(Kind::Command),
        Some(false) if is_shared => Ok(Kind::Query { is_current: false }),
        _ if has_own_state => Err(Error::new(
            signature.ident.span(),
            "beside a `type State`, a method takes `&self` or none, and then the state: `&mut` to \
             change it (a durable message), `&` to read it; other functions stand in another block",
        )),
        _ => Err(Error::new(
            signature.ident.span(),
            "a method takes `&mut self` to change the state (a durable message) or `&self` to read \
             it; other functions stand in another block",
        )),
    }
}

/// Whether the receiver may be changed; none where it is no reference.
fn receiver(signature: &Signature) -> Option<bool> {
    match &signature.receiver()?.kind {
        ReceiverKind::Reference(_, _, mutability) => Some(mutability.is_some()),
        _ => None,
    }
}

fn arguments(signature: &mut Signature, has_own_state: bool) -> Result<Vec<Option<Part>>> {
    let inputs = signature.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    let arguments: Result<Vec<Option<Part>>> =
        inputs.skip(usize::from(has_own_state)).map(argument).collect();
    let arguments = arguments?;
    let parts: Vec<&Part> = arguments.iter().flatten().collect();
    match parts.iter().find(|part| part.is_whole) {
        Some(whole) if parts.len() > 1 => {
            let reason = "the body is one argument, or its members are some: not both";
            Err(Error::new(whole.name.span(), reason))
        }
        _ => Ok(arguments),
    }
}

fn argument(argument: &mut PatType) -> Result<Option<Part>> {
    let (of, is_borrowed) = match &*argument.ty {
        Type::Reference(reference) if reference.mutability.is_some() => {
            let reason = "only the state can be changed: it stands before the message's arguments";
            return Err(Error::new(reference.span(), reason));
        }
        Type::Reference(reference) if is_context(reference) => return Ok(None),
        Type::Reference(reference) => (owned(&reference.elem), true),
        of => (of.clone(), false),
    };
    let whole = argument.attrs.iter().position(|attribute| attribute.path().is_ident("body"));
    let is_whole = whole.map(|at| argument.attrs.remove(at)).is_some();
    let name = match &*argument.pat {
        Pat::Ident(pattern) => pattern.ident.clone(),
        _ if is_whole => Ident::new("body", Span::mixed_site()),
        other => {
            let reason = "a member of the body has a name; with #[body] the argument is all of it";
            return Err(Error::new(other.span(), reason));
        }
    };
    Ok(Some(Part { name, of, is_borrowed, is_whole }))
}

/// The type whose reference coerces to `&of`.
fn owned(of: &Type) -> Type {
    match of {
        Type::Slice(slice) => {
            let item = &slice.elem;
            parse_quote!(::std::vec::Vec<#item>)
        }
        of if is_named(of, "str") => parse_quote!(::std::string::String),
        of => of.clone(),
    }
}

/// Whether messages can name it.
fn is_method(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether it is `&Context`, by whichever path.
fn is_context(reference: &TypeReference) -> bool {
    is_named(&reference.elem, "Context")
}

fn may_fail(output: &ReturnType) -> bool {
    matches!(output, ReturnType::Type(_, of) if is_named(of, "Result"))
}

fn is_named(of: &Type, name: &str) -> bool {
    matches!(of, Type::Path(path)
        if path.path.segments.last().is_some_and(|segment| segment.ident == name))
}
