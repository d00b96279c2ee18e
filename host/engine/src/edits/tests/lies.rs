//! Every lie that an edit can tell, each alone.

use super::*;

fn told(edits: Vec<Edit>, output: &Arc<Schema>, writes: &str) -> String {
    match apply(&batch(3, false), edits, output, &effective(writes)) {
        Ok(_) => "believed".to_owned(),
        Err(Wrong::Lie(lie)) => lie.to_string(),
        Err(Wrong::Refused(refusal)) => format!("{} {} refused", refusal.capability, refusal.asked),
    }
}

fn rename(old: &str, new: &str) -> Edit {
    Edit::Rename(Rename {
        old: old.to_owned(),
        new: new.to_owned(),
    })
}

/// Rows of `id` alone.
fn replace(rows: u32, origins: &[u32]) -> Edit {
    Edit::Replace(Replacement {
        rows,
        columns: vec![int_column("id", vec![7; rows as usize])],
        changes: None,
        origins: origins.to_vec(),
    })
}

fn other_part() -> Edit {
    let mut edit = reject(&[0]);
    if let Edit::Reject(rejections) = &mut edit {
        rejections[0].part = 1;
    }
    edit
}

#[test]
fn every_lie_about_an_edit_is_told() {
    let check = |edits: Vec<Edit>, output: &Arc<Schema>, writes: &str, expected: &str| {
        let told = told(edits, output, writes);
        assert!(told.contains(expected), "{told} is not {expected}");
    };
    let same = &batch(3, false).schema;
    let ids = &schema(&[("id", FieldType::Int64, false)]);
    let all = "[\"*\"]";
    let put = |name: &str| vec![Edit::Put(int_column(name, vec![1, 2, 3]))];
    check(put("id"), same, all, "believed");
    check(put("id"), same, "[]", "data.writes id refused");
    let drop = vec![Edit::Drop("name".to_owned())];
    check(drop, ids, "[\"id\"]", "data.writes name refused");
    let label = &schema(&[
        ("id", FieldType::Int64, false),
        ("label", FieldType::Text, true),
    ]);
    let renamed = || vec![rename("name", "label")];
    check(renamed(), label, all, "believed");
    check(renamed(), label, "[\"name\"]", "data.writes label refused");
    check(renamed(), label, "[\"label\"]", "data.writes name refused");
    let whole = || vec![replace(3, &[0, 1, 2])];
    check(whole(), ids, all, "believed");
    check(whole(), ids, "[\"name\"]", "data.writes id refused");
    check(whole(), ids, "[\"id\"]", "data.writes name refused");

    let beside = [put("id"), whole()].concat();
    check(beside, ids, all, "`replace` stands beside another edit");
    check(
        vec![rename("name", "id")],
        same,
        all,
        "`id`, which is there already",
    );
    let keep = || Edit::Keep(vec![0b111]);
    check(vec![keep(), keep()], same, "[]", "`keep` stands twice");
    check(vec![reject(&[3])], same, "[]", "it rejects row 3 of part 0");
    check(vec![other_part()], same, "[]", "it rejects row 0 of part 1");
    check(vec![replace(3, &[0])], ids, all, "1 origins for 3 rows");
    check(
        vec![replace(1, &[3])],
        ids,
        all,
        "a row comes from row 3 of a batch of 3 rows",
    );
    let both = vec![reject(&[0]), replace(1, &[0])];
    check(
        both,
        ids,
        all,
        "row 0 is rejected, and yet the origin of a new row",
    );

    let made = |kind| {
        schema(&[
            ("id", FieldType::Int64, false),
            ("name", FieldType::Text, true),
            ("made", kind, false),
        ])
    };
    check(put("made"), &made(FieldType::Int64), all, "believed");
    check(
        put("made"),
        &made(FieldType::Text),
        all,
        "column `made` is int64, not nullable; `output` promised text",
    );
    check(
        put("made"),
        same,
        all,
        "column `made` is not in what `output` promised",
    );
}

#[test]
fn what_edits_make_has_an_end() {
    let check = |edits: Vec<Edit>, output: &Arc<Schema>, expected: &str| {
        let told = told(edits, output, "[\"*\"]");
        assert!(told.contains(expected), "{told} is not {expected}");
    };
    let same = &batch(3, false).schema;
    let new = |number: usize| Edit::Put(int_column(&format!("c{number}"), vec![1, 2, 3]));
    check(
        (0..limits::FIELDS_MAX).map(new).collect(),
        same,
        "it makes more than 2000 columns",
    );
    for name in [String::new(), "x".repeat(limits::FIELD_NAME_BYTES_MAX + 1)] {
        check(vec![rename("name", &name)], same, "to a name of");
    }
    let ids = &schema(&[("id", FieldType::Int64, false)]);
    let rows = limits::EDIT_CELLS_MAX / 2 + 1;
    let many = vec![0; rows];
    check(
        vec![replace(u32::try_from(rows).expect("few"), &many)],
        ids,
        "rows of one batch",
    );
}
