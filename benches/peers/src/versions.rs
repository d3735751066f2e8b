//! Which crates were measured.

use std::collections::BTreeMap;

const LOCK: &str = include_str!("../../../Cargo.lock");

/// The exact versions of these crates in the build. A crate that is not in it has none.
pub(crate) fn of<'a>(crates: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let wanted = crates.into_iter();
    wanted.filter_map(|name| Some((name.to_owned(), version(LOCK, name)?.to_owned()))).collect()
}

fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let value =
        |line: &'a str, field: &str| line.strip_prefix(field)?.strip_prefix(" = \"")?.strip_suffix('"');
    let mut lines = lock.lines();
    lines.find(|line| value(line, "name") == Some(name))?;
    value(lines.next()?, "version")
}

/// The crate of a contender: its name up to the form or setting that is measured.
pub(crate) fn crate_of(contender: &str) -> &str {
    contender.split(',').next().unwrap_or(contender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_that_of_the_whole_name() {
        let lock = "[[package]]\nname = \"retry-policies\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"retry\"\nversion = \"2.2.0\"\n";
        assert_eq!(version(lock, "retry"), Some("2.2.0"));
        assert_eq!(version(lock, "try"), None);
    }

    #[test]
    fn a_contender_s_crate_is_its_name_without_the_setting() {
        assert_eq!(crate_of("governor, upkeep clock"), "governor");
        assert_eq!(crate_of("better-bucket"), "better-bucket");
    }
}
