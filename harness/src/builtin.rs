//! Texts that come with the program, or files of the same form in their place.

use std::borrow::Cow;
use std::fs;

use anyhow::{Context, Result, ensure};

/// The built-in text of this name, or else that of this file. `form` and `what` are for people: `a TOML file`, `workload`.
///
/// # Errors
/// One line that names the file and all that is built in.
pub(crate) fn text(
    name: &str,
    built_in: &[(&str, &'static str)],
    (form, what): (&str, &str),
) -> Result<Cow<'static, str>> {
    if let Some((_, text)) = built_in.iter().find(|(own, _)| *own == name) {
        return Ok((*text).into());
    }
    let unreadable = || {
        let names: Vec<&str> = built_in.iter().map(|(name, _)| *name).collect();
        format!("{name}: cannot be read; give {form}, or a built-in {what} ({})", names.join(", "))
    };
    // A device may have no end.
    let regular = fs::metadata(name).with_context(unreadable)?.is_file();
    ensure!(regular, "{}: it is not a regular file", unreadable());
    Ok(fs::read_to_string(name).with_context(unreadable)?.into())
}
