//! Reads an `impl` block.

use proc_macro2::{Span, TokenStream};
use syn::{
    Error, Ident, ImplItem, ImplItemConst, ImplItemType, ItemImpl, Result, Type, ext::IdentExt,
    spanned::Spanned,
};

use crate::method::Method;

/// An entity as its author wrote it.
pub(crate) struct Entity {
    /// The type itself.
    pub(crate) itself: Type,
    /// Its name in addresses, where no constant says another.
    pub(crate) name: String,
    /// The items of the trait: what is kept, the name, the settings.
    pub(crate) state: Option<ImplItemType>,
    pub(crate) constants: Vec<ImplItemConst>,
    pub(crate) methods: Vec<Method>,
    /// The block that is left: the functions alone.
    pub(crate) block: ItemImpl,
}

impl Entity {
    pub(crate) fn parse(attribute: &TokenStream, block: TokenStream) -> Result<Self> {
        if !attribute.is_empty() {
            let reason = "#[entity] takes no arguments; the constants and the `type State` of the \
                          block say what differs from the defaults";
            return Err(Error::new(attribute.span(), reason));
        }
        let mut block: ItemImpl = syn::parse2(block)?;
        let name = name_of(&block)?;
        let (mut state, mut constants, mut functions) = (None, Vec::new(), Vec::new());
        for item in std::mem::take(&mut block.items) {
            match item {
                ImplItem::Fn(function) => functions.push(function),
                ImplItem::Const(constant) => constants.push(constant),
                ImplItem::Type(item) if item.ident == "State" => state = Some(item),
                other => {
                    let reason = "an entity's block holds methods, constants of the trait \
                                  `Entity`, and `type State`";
                    return Err(Error::new(other.span(), reason));
                }
            }
        }
        let methods: Result<Vec<Method>> =
            functions.iter_mut().map(|function| Method::take(function, state.is_some())).collect();
        let methods = methods?;
        if methods.is_empty() {
            return Err(Error::new(block.self_ty.span(), "an entity without methods"));
        }
        distinct(&methods)?;
        block.items = functions.into_iter().map(ImplItem::Fn).collect();
        Ok(Self { itself: (*block.self_ty).clone(), name, state, constants, methods, block })
    }
}

fn name_of(block: &ItemImpl) -> Result<String> {
    if let Some((path, _)) = &block.trait_ {
        return Err(Error::new(
            path.span(),
            "#[entity] stands before `impl Type`, without a trait",
        ));
    }
    if !block.generics.params.is_empty() {
        let reason = "an entity type has no generic parameters: it is one name in addresses";
        return Err(Error::new(block.generics.span(), reason));
    }
    match &*block.self_ty {
        Type::Path(path) => match path.path.segments.last() {
            Some(last) => Ok(last.ident.unraw().to_string()),
            None => Err(Error::new(path.span(), "a type without a name")),
        },
        other => Err(Error::new(other.span(), "an entity is a type with a name")),
    }
}

/// Of two methods with one name the second could never be called.
fn distinct(methods: &[Method]) -> Result<()> {
    for (index, method) in methods.iter().enumerate() {
        if methods.iter().take(index).any(|before| before.name == method.name) {
            let reason = format!("a second method named {}", method.name);
            return Err(Error::new(method.function.span(), reason));
        }
    }
    Ok(())
}

/// `move_to` as `MoveTo`.
pub(crate) fn variant(function: &Ident) -> Ident {
    let name = function.unraw().to_string();
    let capitalised = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>())
    });
    let name: String = capitalised.flatten().collect();
    Ident::new(&name, Span::mixed_site().located_at(function.span()))
}
