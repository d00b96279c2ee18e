//! What stands in `#[record(…)]`.

use quote::format_ident;
use syn::{Field, Ident, LitStr, Type};

/// One field of the struct.
pub(crate) struct Named {
    /// In the struct.
    pub(crate) ident: Ident,
    /// Its type.
    pub(crate) kind: Type,
    /// In the schema.
    pub(crate) name: String,
    /// Whether it is part of the key.
    pub(crate) key: bool,
}

impl Named {
    pub(crate) fn new(field: &Field) -> syn::Result<Self> {
        let ident = field
            .ident
            .clone()
            .unwrap_or_else(|| format_ident!("_unnamed"));
        let plain = ident.to_string();
        let name = plain.strip_prefix("r#").unwrap_or(&plain).to_owned();
        let mut named = Self {
            ident,
            kind: field.ty.clone(),
            name,
            key: false,
        };
        for attribute in field
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("record"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("key") {
                    named.key = true;
                } else if meta.path.is_ident("name") {
                    named.name = meta.value()?.parse::<LitStr>()?.value();
                } else {
                    return Err(meta.error("`#[record(…)]` takes `name = \"…\"` and `key`"));
                }
                Ok(())
            })?;
        }
        Ok(named)
    }
}

/// No two fields may have one name.
pub(crate) fn unique(fields: &[Named]) -> syn::Result<()> {
    let mut seen = std::collections::HashSet::new();
    match fields.iter().find(|field| !seen.insert(&field.name)) {
        Some(twice) => Err(syn::Error::new_spanned(
            &twice.ident,
            format!("two fields are named `{}`", twice.name),
        )),
        None => Ok(()),
    }
}
