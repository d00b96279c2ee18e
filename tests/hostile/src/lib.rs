//! Plugins that misbehave, one behaviour each.
