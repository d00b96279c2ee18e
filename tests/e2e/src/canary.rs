//! Looks for a secret in all that a deployment left behind, in every form it is given. One pass over each file: what a
//! deployment keeps compiled is large.

use std::path::Path;

/// Which of these forms stand where, in all files below a folder: the deployment's own, and what its links lead to.
pub fn below(folder: &Path, forms: &[(&str, Vec<u8>)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).expect("a folder that can be listed");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            // Where a link leads to a file, that file stands elsewhere below, or is not the deployment's.
            let kind = std::fs::symlink_metadata(&path).expect("its kind");
            if path.is_dir() && !leads_up(&path, &folder) {
                folders.push(path);
            } else if kind.is_file() && kind.len() < 1 << 30 {
                let bytes = std::fs::read(&path).expect("a file that can be read");
                let names = within(&bytes, forms);
                found.extend(
                    names
                        .iter()
                        .map(|name| format!("{}: {name}", path.display())),
                );
            }
        }
    }
    found
}

/// A link to a folder that it stands in has no end.
fn leads_up(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (path.canonicalize(), folder.canonicalize());
    matches!((path, folder), (Ok(path), Ok(folder)) if folder.starts_with(&path))
}

/// Which of these forms stand in some bytes.
pub fn within<'a>(bytes: &[u8], forms: &'a [(&str, Vec<u8>)]) -> Vec<&'a str> {
    let mut by_first: Vec<Vec<usize>> = vec![Vec::new(); 256];
    for (at, (_, form)) in forms.iter().enumerate() {
        by_first[usize::from(form[0])].push(at);
    }
    let mut found = Vec::new();
    for (start, first) in bytes.iter().enumerate() {
        for at in &by_first[usize::from(*first)] {
            let (name, form) = &forms[*at];
            if bytes[start..].starts_with(form) && !found.contains(name) {
                found.push(*name);
            }
        }
    }
    found
}
