//! How the modules of one folder may lean on each other: read from their `use` lines and paths, no two of them import each
//! other, not even by way of others. A folder's `mod.rs` stands above its modules and `tests.rs` above all; neither counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Imports = BTreeMap<String, BTreeSet<String>>;

/// Which of the modules beside it each file's own text names, its tests left out.
fn imports(folder: &Path) -> Imports {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let texts: BTreeMap<String, String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a source file"))
        })
        .filter(|(name, _)| name != "mod" && name != "tests" && name != "lib")
        .collect();
    let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let within = [String::from("super::"), format!("crate::{name}::")];
    texts.iter().map(|(module, text)| (module.clone(), named(text, &within, &texts))).collect()
}

/// The modules named after one of the prefixes, alone or in braces, in code.
fn named(text: &str, within: &[String], modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let own = text.split("\n#[cfg(test)]\n").next().unwrap_or(text);
    let code: String = own.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for prefix in within {
        for (at, _) in code.match_indices(prefix.as_str()) {
            let rest = &code[at + prefix.len()..];
            let listed =
                rest.strip_prefix('{').and_then(|rest| rest.split_once(';')).map_or(rest, |(listed, _)| listed);
            let parts = if rest.starts_with('{') { listed.split(',').collect::<Vec<_>>() } else { vec![listed] };
            for part in parts {
                let word = part.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                if modules.contains_key(word) {
                    found.insert(word.to_owned());
                }
            }
        }
    }
    found
}

/// The modules from which a way leads back to themselves.
fn in_circles(imports: &Imports) -> Vec<&str> {
    let comes_back = |start: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(module) = open.pop() {
            for next in imports.get(module).into_iter().flatten().map(String::as_str) {
                if next == start {
                    return true;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    };
    imports.keys().map(String::as_str).filter(|module| comes_back(module)).collect()
}

#[test]
fn no_modules_of_one_folder_import_each_other_in_a_circle() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in ["answer", "cache", "list", "plane", "relay", "streams", "sys", "wire"] {
        let imports = imports(&source.join(folder));
        assert!(imports.values().any(|imported| !imported.is_empty()), "{folder}: no import was read");
        assert_eq!(in_circles(&imports), [""; 0], "{folder}");
    }
}

#[test]
fn a_circle_is_found_by_way_of_others_and_in_any_notation() {
    let texts = ["a", "b", "c", "d"].map(|name| (name.to_owned(), String::new()));
    let modules = BTreeMap::from(texts);
    let within = [String::from("super::"), String::from("crate::x::")];
    let named = |text: &str| named(text, &within, &modules);
    assert_eq!(named("use super::{b, c::C};\n"), ["b", "c"].map(String::from).into());
    assert_eq!(
        named("fn f() -> crate::x::d::D {}\n// super::a\n#[cfg(test)]\nuse super::b;\n"),
        ["d".to_owned()].into()
    );
    let circle = |text: &str| {
        [("a", "use super::b::B;"), ("b", "use super::c;"), ("c", text), ("d", "use super::a;")]
            .map(|(name, text)| (name.to_owned(), named(text)))
            .into()
    };
    assert_eq!(in_circles(&circle("use super::a::A;")), ["a", "b", "c"]);
    assert_eq!(in_circles(&circle("")), [""; 0]);
}
