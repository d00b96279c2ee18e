//! What a plugin author writes against: a small trait for each kind of plugin and one macro line.
