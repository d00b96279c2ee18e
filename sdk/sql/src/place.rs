//! Where a table is: behind which row, and between which bounds. Values stand as the server writes them, so that an
//! operator reads them, and sets one by hand.

use crate::{Column, Order};
use serde::{Deserialize, Serialize};
use sluice_sdk::Fault;

/// Where a table is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Place {
    /// The columns by which the table is read; none where that is left to its settings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// Their values in the last row that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    /// Of a range: the key's first column is above this,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<String>,
    /// and at most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<String>,
    /// Of a range: the table had no rows to tell the bounds by, and another range has all of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nothing: bool,
    /// Bytes that were read before.
    pub bytes: u64,
}

impl Place {
    /// That it is a place in this table, named for people, as it is read now; else [`Fault::CursorLost`].
    pub fn fits<C: Column>(&self, table: &str, order: &Order, columns: &[C]) -> Result<(), Fault> {
        let names = order.names(columns);
        let is_same = self.by.is_empty() || self.by == names;
        let is_whole = self
            .after
            .as_ref()
            .is_none_or(|after| after.len() == names.len());
        if is_same && is_whole {
            return Ok(());
        }
        Err(Fault::cursor_lost(format!(
            "the place in `{table}` is not one in the order of `{}`, by which it is read now; \
             hint: reset the checkpoint of this split",
            names.join("`, `")
        )))
    }

    /// Behind the row that has these values in the columns `by`, so many bytes on.
    pub fn advance(&mut self, by: Vec<String>, after: Vec<String>, bytes: usize) {
        self.by = by;
        self.after = Some(after);
        self.bytes += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;
    use crate::column::tests::orders;

    fn read(json: &str) -> Place {
        serde_json::from_str(json).expect(json)
    }

    fn order(settings: &str) -> Order {
        let settings: Table = serde_json::from_str(settings).expect("settings");
        Order::of(&orders(), &settings, "orders", "shop.orders", true).expect("an order")
    }

    #[test]
    fn what_is_not_said_is_left_out_and_need_not_be_there() {
        assert_eq!(read("{}"), Place::default());
        let by_hand = read(r#"{"after":["17"]}"#);
        assert_eq!(by_hand.after, Some(vec!["17".to_owned()]));
        let mut place = read(r#"{"above":"10","up_to":"20","bytes":5}"#);
        assert_eq!(place.up_to.as_deref(), Some("20"));
        place.advance(vec!["id".to_owned()], vec!["17".to_owned()], 100);
        assert_eq!(
            serde_json::to_string(&place).expect("json"),
            r#"{"by":["id"],"after":["17"],"above":"10","up_to":"20","bytes":105}"#
        );
        assert!(serde_json::from_str::<Place>(r#"{"behind":["17"]}"#).is_err());
    }

    #[test]
    fn a_place_in_another_order_is_lost() {
        let (by_key, by_time) = (order("{}"), order(r#"{"cursor":"at"}"#));
        let mut place = Place::default();
        place.advance(by_key.names(&orders()), vec!["17".to_owned()], 1);
        let fits = |place: &Place, order| place.fits("shop.orders", order, &orders());
        assert_eq!(fits(&place, &by_key), Ok(()));
        let fault = fits(&place, &by_time).expect_err("another order");
        assert!(matches!(fault, Fault::CursorLost(_)));
        assert!(
            fault.message().contains("the order of `at`, `id`"),
            "{fault}"
        );
        assert!(fits(&read(r#"{"after":["1","2"]}"#), &by_key).is_err());
        assert_eq!(fits(&read(r#"{"after":["1"]}"#), &by_key), Ok(()));
    }
}
