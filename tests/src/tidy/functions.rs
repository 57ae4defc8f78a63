//! Functions stay short, and the roots of modules hold none.
//!
//! Works on tokens, not on syntax trees, so functions inside of macro calls are seen as well.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{Source, Violation};

/// Lines from `fn` to the closing brace that a function may have.
const LINES_MAX: usize = 70;

/// A function that has a body.
struct Function {
    name: String,
    first_line: usize,
    last_line: usize,
}

/// No function is longer than 70 lines.
pub fn functions_are_short(sources: &[Source]) -> Vec<Violation> {
    each_rust_file(sources, |source, functions, found| {
        for function in functions {
            let lines = function.last_line + 1 - function.first_line;
            if lines > LINES_MAX {
                let reason = format!("`{}` has {lines} lines; at most {LINES_MAX}", function.name);
                found.push(Violation::at(source, function.first_line, reason));
            }
        }
    })
}

/// `lib.rs` and `mod.rs` declare, explain and re-export: no function with a body, but those that the
/// language wants in the root of their crate: procedural macros.
pub fn roots_only_declare(sources: &[Source]) -> Vec<Violation> {
    each_rust_file(sources, |source, functions, found| {
        if !matches!(source.file_name(), "lib.rs" | "mod.rs") {
            return;
        }
        let is_macro = |function: &&Function| {
            let before = source.text.lines().nth(function.first_line.saturating_sub(2));
            before.is_some_and(|line| line.starts_with("#[proc_macro"))
        };
        for function in functions.iter().filter(|function| !is_macro(function)) {
            let reason = format!("`{}` has a body; {} only declares", function.name, source.path);
            found.push(Violation::at(source, function.first_line, reason));
        }
    })
}

fn each_rust_file(
    sources: &[Source],
    mut check: impl FnMut(&Source, &[Function], &mut Vec<Violation>),
) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        match TokenStream::from_str(&source.text) {
            Ok(tokens) => {
                let mut functions = Vec::new();
                collect_functions(tokens, &mut functions);
                check(source, &functions, &mut found);
            }
            Err(error) => {
                let line = error.span().start().line;
                found.push(Violation::at(source, line, "is not Rust that can be read"));
            }
        }
    }
    found
}

/// A function whose name was read and whose body was not yet.
struct Head {
    name: String,
    first_line: usize,
}

fn collect_functions(tokens: TokenStream, functions: &mut Vec<Function>) {
    let mut fn_line = None;
    let mut head: Option<Head> = None;
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == "fn" => fn_line = Some(word.span().start().line),
            TokenTree::Ident(name) => {
                if let Some(first_line) = fn_line.take() {
                    head = Some(Head { name: name.to_string(), first_line });
                }
            }
            TokenTree::Punct(mark) => {
                fn_line = None;
                if mark.as_char() == ';' {
                    head = None;
                }
            }
            TokenTree::Literal(_) => fn_line = None,
            TokenTree::Group(group) => {
                fn_line = None;
                if group.delimiter() == Delimiter::Brace
                    && let Some(head) = head.take()
                {
                    functions.push(finish(head, &group));
                }
                collect_functions(group.stream(), functions);
            }
        }
    }
}

fn finish(head: Head, body: &Group) -> Function {
    let last_line = body.span_close().end().line;
    Function { name: head.name, first_line: head.first_line, last_line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(lines: usize) -> String {
        format!("/// Doc.\nfn sample() {{\n{}}}\n", "    call();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_of_71_lines_is_found() {
        let long = Source::new("crates/a/src/a.rs", function_of(71));
        let just_right = Source::new("crates/a/src/b.rs", function_of(70));
        let found = functions_are_short(&[long.clone(), just_right]);
        assert_eq!(found, [Violation::at(&long, 2, "`sample` has 71 lines; at most 70")]);
    }

    #[test]
    fn functions_in_impls_modules_and_macros_are_seen() {
        for (before, after) in [
            ("impl Sample {", "}"),
            ("mod tests {", "}"),
            ("proptest! {", "}"),
            ("trait Sample { fn without_body(&self) -> [u8; 4];", "}"),
            ("const A: fn(u8) -> u8 = b;", ""),
        ] {
            let text = format!("{before}\n{}\n{after}", function_of(80));
            let found = functions_are_short(&[Source::new("crates/a/src/a.rs", text)]);
            assert_eq!(found.len(), 1, "{before}");
        }
    }

    #[test]
    fn a_long_type_is_no_function() {
        let text = format!("pub struct Long {{\n{}}}\nfn short();\n", "    a: u8,\n".repeat(90));
        assert_eq!(functions_are_short(&[Source::new("crates/a/src/a.rs", text)]), []);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_found() {
        let source = Source::new("crates/a/src/a.rs", "fn open( {");
        assert_eq!(functions_are_short(&[source]).len(), 1);
    }

    #[test]
    fn logic_in_a_root_is_found() {
        let text = "//! Doc.\nmod a;\npub use a::B;\nfn logic() -> u8 { 4 }\n";
        for path in ["crates/a/src/lib.rs", "crates/a/src/b/mod.rs"] {
            let found = roots_only_declare(&[Source::new(path, text)]);
            assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [4]);
        }
        assert_eq!(roots_only_declare(&[Source::new("crates/a/src/a.rs", text)]), []);
    }

    #[test]
    fn a_root_that_declares_passes() {
        let text = "//! Doc.\nmod a { }\npub use a::B;\npub trait C { fn d(&self); }\n";
        assert_eq!(roots_only_declare(&[Source::new("crates/a/src/lib.rs", text)]), []);
        let text = "#[proc_macro_attribute]\npub fn a() -> B {\n    b()\n}\n";
        assert_eq!(roots_only_declare(&[Source::new("crates/a/src/lib.rs", text)]), []);
    }
}
