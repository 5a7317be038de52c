//! The recorded configurations of the shared golden suite: verdict, words of the message, dump.
//! Skipped where the suite is not at hand.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    LoadOptions, parse,
    yaml::{
        Tree,
        decode::{Context, Decode, Decoder},
        emit::Doc,
        structure::structure,
    },
};
use crate::{alert::matcher::ParseMode, template::Templates};

structure! {
    Case "a case" {
        title: String;
        kind: String;
        config: String;
        files: BTreeMap<String, String>;
        features: String;
        mentions: Vec<Doc>;
        maybe: bool;
        modes: Vec<String>;
        labels: BTreeMap<String, BTreeMap<String, String>>;
    }
}

fn suite() -> Option<PathBuf> {
    let shared = std::env::var_os("CARILLON_SHARED").unwrap_or_else(|| "../shared".into());
    let suite = Path::new(&shared).join("golden/config");
    suite.is_dir().then_some(suite)
}

fn read<T: Decode + Default>(text: &str) -> T {
    let tree = Tree::parse(text).expect("goldens are YAML");
    let mut decoder = Decoder::new(&tree, Context::default());
    let mut value = T::default();
    value.decode(&mut decoder, tree.root().expect("goldens are not empty")).expect("goldens are read");
    assert_eq!(decoder.issues(), &[] as &[String]);
    value
}

/// Every case of a kind: its file, the case, the recording. None where the suite is not at hand.
pub(crate) fn cases(kind: &str) -> Vec<(String, Case, Doc)> {
    let mut cases = Vec::new();
    for folder in suite().iter().flat_map(fs::read_dir).flatten().map(|entry| entry.expect("an entry").path()) {
        for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = path.to_string_lossy().into_owned();
            if name.ends_with(".golden.yml") || !name.ends_with(".yml") {
                continue;
            }
            let case: Case = read(&fs::read_to_string(&path).expect("a case"));
            if case.kind == kind {
                let golden = read(&fs::read_to_string(path.with_extension("golden.yml")).expect("its golden"));
                cases.push((name, case, golden));
            }
        }
    }
    assert!(suite().is_none() || !cases.is_empty(), "the suite has cases");
    cases
}

pub(crate) fn get<'a>(doc: &'a Doc, key: &str) -> &'a Doc {
    const NOTHING: &Doc = &Doc::Null;
    let Doc::Map(entries) = doc else { return NOTHING };
    entries.iter().find(|(name, _)| *name == Doc::from(key)).map_or(NOTHING, |(_, value)| value)
}

pub(crate) fn text(doc: &Doc) -> String {
    match doc {
        Doc::Text(text) => text.clone(),
        Doc::Int(number) => number.to_string(),
        Doc::Null => String::new(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn mode(features: &str) -> ParseMode {
    match features {
        _ if features.contains("classic-mode") => ParseMode::Classic,
        _ if features.contains("utf8-strict-mode") => ParseMode::Utf8,
        _ => ParseMode::Fallback,
    }
}

/// Puts real paths where the suite has names for them.
fn here(text: &str, dir: &str) -> String {
    let files = ["@CA@", "@CLIENTCERT@", "@CLIENTKEY@"];
    files
        .iter()
        .fold(text.replace("@DIR@", dir), |text, name| text.replace(name, &format!("/{}", name.trim_matches('@'))))
}

/// By value: the order of keys does not count. The suite is written by a tool to which `n` is text.
fn comparable(doc: Doc, dir: &str) -> Doc {
    match doc {
        Doc::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key, comparable(value, dir)));
            let mut entries: Vec<(Doc, Doc)> = entries.collect();
            entries.sort_by_key(|(key, _)| format!("{key:?}"));
            Doc::Map(entries)
        }
        Doc::List(items) => Doc::List(items.into_iter().map(|item| comparable(item, dir)).collect()),
        Doc::Bool(false) => Doc::from("n"),
        Doc::Text(text) => Doc::Text(here(&text, dir)),
        other => other,
    }
}

/// What differs from the recording, if anything.
fn check(case: &Case, golden: &Doc) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("a name in UTF-8");
    for (name, content) in &case.files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, here(content, dir)).expect("a file");
    }
    let options = LoadOptions { mode: mode(&case.features) };
    let result = parse(&here(&case.config, dir), folder.path(), &options).map_err(|error| error.to_string());
    let result = result.and_then(|loaded| match Templates::load(&loaded.config.templates) {
        Ok(_) => Ok(loaded),
        Err(error) => Err(error.to_string()),
    });
    let accepted = text(get(get(golden, "check_config"), "verdict")) == "accepted";
    match result {
        Ok(_) if !accepted => Err("accepted".to_owned()),
        Err(error) if accepted => Err(format!("rejected: {error}")),
        Err(error) => {
            let error = error.to_lowercase();
            let said = |word: &Doc| error.contains(&text(word).to_lowercase());
            let missing = case.mentions.iter().find(|word| match word {
                Doc::List(words) => !words.iter().any(said),
                word => !said(word),
            });
            missing.map_or(Ok(()), |word| Err(format!("{word:?} is not in: {error}")))
        }
        Ok(loaded) => {
            let expected = get(get(golden, "server"), "original");
            let expected = comparable(expected.clone(), dir);
            let dump = comparable(read(&loaded.original), dir);
            let same = expected == Doc::Null || dump == expected;
            if same { Ok(()) } else { Err(format!("dump\n{dump:?}\ninstead of\n{expected:?}")) }
        }
    }
}

#[test]
fn recorded_configurations_are_read_as_recorded() {
    let cases = cases("config");
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(name, case, golden)| check(case, golden).err().map(|difference| format!("{name}: {difference}")))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
