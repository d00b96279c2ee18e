//! What both halves need of types: what a domain is made of, and what a type's modifier says.

/// What a type is made of, as far as it is a domain.
macro_rules! made_of {
    () => {
        "CROSS JOIN LATERAL (\
         WITH RECURSIVE made_of (type, modifier) AS (\
         SELECT a.atttypid, a.atttypmod \
         UNION ALL \
         SELECT d.typbasetype, d.typtypmod FROM made_of AS m JOIN pg_catalog.pg_type AS d ON d.oid = m.type AND d.typtype = 'd'\
         ) SELECT m.type, m.modifier FROM made_of AS m JOIN pg_catalog.pg_type AS d ON d.oid = m.type AND d.typtype <> 'd'\
         ) AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.type "
    };
}

pub(crate) use made_of;

/// The precision and the scale of a numeric; none where it says none.
pub(crate) fn numeric(modifier: i32) -> Option<(i32, i32)> {
    // As `numeric.c` packs them, above the four bytes that every length counts in; the scale has 11 bits and a sign.
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    Some((packed >> 16 & 0xffff, ((packed & 0x7ff) ^ 0x400) - 0x400))
}
