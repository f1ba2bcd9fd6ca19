//! What is counted, in maps of bounded size.

use super::parse::Hit;
use super::route;
use std::collections::HashMap;

/// Routes that are told apart; the rest is counted as one.
const ROUTES_MAX: usize = 1_000;
/// Of these, how many may begin with a request that found nothing: who tries names out leaves room for
/// the others.
const MISSED_ROUTES_MAX: usize = 500;
/// Client addresses that are told apart among failed sign-ins.
const ADDRESSES_MAX: usize = 10_000;
/// Statuses of one route that are told apart.
const STATUSES_MAX: usize = 16;
/// Bad lines that are kept to be shown.
const BAD_LINES_SHOWN: usize = 3;
/// Bytes of a bad line that are kept.
const BAD_LINE_BYTES: usize = 100;
const NOT_FOUND: u16 = 404;

/// Everything that one reading counts.
pub(super) struct Tally {
    /// The beginning of the paths where people sign in.
    sign_in: Vec<u8>,
    pub lines: u64,
    /// Requests before or after the window.
    pub outside: u64,
    pub bad: u64,
    pub bad_lines: Vec<Vec<u8>>,
    pub requests: u64,
    /// By the first digit of the status; the rest at 0.
    pub classes: [u64; 6],
    /// The first and the last request.
    pub from_ms: i64,
    pub to_ms: i64,
    pub took: Histogram,
    numbers: HashMap<Box<[u8]>, usize>,
    missed: usize,
    pub routes: Vec<Route>,
    /// Requests of routes that found no room.
    pub other: u64,
    /// 401 and 403 where people sign in.
    pub failed_sign_ins: u64,
    /// 401 and 403 elsewhere.
    pub refused_elsewhere: u64,
    pub addresses: Heavy,
    /// The route that is looked up; reused.
    key: Vec<u8>,
}

/// The requests of one route.
pub(super) struct Route {
    pub name: Box<[u8]>,
    pub requests: u64,
    /// Of 400 and above.
    pub errors: Vec<(u16, u64)>,
    pub failed_sign_ins: u64,
    pub took: Histogram,
}

impl Tally {
    pub(super) fn new(sign_in: &[u8]) -> Self {
        Self {
            sign_in: sign_in.to_owned(),
            lines: 0,
            outside: 0,
            bad: 0,
            bad_lines: Vec::new(),
            requests: 0,
            classes: [0; 6],
            from_ms: i64::MAX,
            to_ms: i64::MIN,
            took: Histogram::default(),
            numbers: HashMap::new(),
            missed: 0,
            routes: Vec::new(),
            other: 0,
            failed_sign_ins: 0,
            refused_elsewhere: 0,
            addresses: Heavy::new(ADDRESSES_MAX),
            key: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, hit: &Hit<'_>) {
        self.requests += 1;
        self.from_ms = self.from_ms.min(hit.at_ms);
        self.to_ms = self.to_ms.max(hit.at_ms);
        let class = usize::from(hit.status / 100);
        self.classes[if class < self.classes.len() { class } else { 0 }] += 1;
        if let Some(took_us) = hit.took_us {
            self.took.add(took_us);
        }
        let path = route::path(&hit.target);
        let is_refused = matches!(hit.status, 401 | 403);
        let is_failed_sign_in = is_refused && path.starts_with(&self.sign_in);
        self.failed_sign_ins += u64::from(is_failed_sign_in);
        self.refused_elsewhere += u64::from(is_refused && !is_failed_sign_in);
        if is_failed_sign_in {
            self.addresses.add(&hit.address);
        }
        let Some(route) = self.route(&hit.method, path, hit.status) else {
            self.other += 1;
            return;
        };
        route.requests += 1;
        route.failed_sign_ins += u64::from(is_failed_sign_in);
        if let Some(took_us) = hit.took_us {
            route.took.add(took_us);
        }
        if hit.status >= 400 {
            let known = route.errors.iter().position(|(status, _)| *status == hit.status);
            if let Some(at) = known {
                route.errors[at].1 += 1;
            } else if route.errors.len() < STATUSES_MAX {
                route.errors.push((hit.status, 1));
            }
        }
    }

    pub(super) fn add_bad(&mut self, line: &[u8]) {
        self.bad += 1;
        if self.bad_lines.len() < BAD_LINES_SHOWN {
            self.bad_lines.push(line[..line.len().min(BAD_LINE_BYTES)].to_owned());
        }
    }

    /// The route of a request; `None` when it is a new one and there is no room.
    fn route(&mut self, method: &[u8], path: &[u8], status: u16) -> Option<&mut Route> {
        route::write(method, path, &mut self.key);
        if let Some(number) = self.numbers.get(&self.key[..]) {
            return self.routes.get_mut(*number);
        }
        let is_missed = status == NOT_FOUND;
        if self.routes.len() == ROUTES_MAX || is_missed && self.missed == MISSED_ROUTES_MAX {
            return None;
        }
        self.missed += usize::from(is_missed);
        let name: Box<[u8]> = self.key.as_slice().into();
        self.numbers.insert(name.clone(), self.routes.len());
        self.routes.push(Route {
            name,
            requests: 0,
            errors: Vec::new(),
            failed_sign_ins: 0,
            took: Histogram::default(),
        });
        self.routes.last_mut()
    }
}

/// Parts that a doubling is cut into: a quantile is at most a thirty-second off.
const PARTS: u64 = 16;
/// Up to 2^36 µs, which is 19 hours; what is longer counts as that.
const US_MAX: u64 = (1 << 36) - 1;
const CELLS: usize = (PARTS * (36 - 4 + 1)) as usize;

/// Durations, on a scale that doubles.
pub(super) struct Histogram {
    cells: Box<[u32; CELLS]>,
    pub count: u64,
    pub longest_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { cells: Box::new([0; CELLS]), count: 0, longest_us: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, took_us: u64) {
        self.count += 1;
        self.longest_us = self.longest_us.max(took_us);
        let cell = &mut self.cells[cell_of(took_us.min(US_MAX))];
        *cell = cell.saturating_add(1);
    }

    /// The duration that so many of a thousand do not exceed, in µs; `None` of nothing.
    pub(super) fn at(&self, thousandths: u64) -> Option<u64> {
        let rank = (self.count * thousandths).div_ceil(1_000).max(1);
        let mut below = 0;
        for (cell, count) in self.cells.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return Some(middle_of(cell).min(self.longest_us));
            }
        }
        None
    }
}

/// Below [`PARTS`] each value has a cell of its own; above, each doubling has [`PARTS`] cells.
fn cell_of(us: u64) -> usize {
    let doublings = us.max(1).ilog2().saturating_sub(PARTS.ilog2());
    let cell = u64::from(doublings) * PARTS + (us >> doublings);
    cell as usize
}

fn middle_of(cell: usize) -> u64 {
    let cell = cell as u64;
    let doublings = (cell / PARTS).saturating_sub(1);
    let low = (cell - doublings * PARTS) << doublings;
    low + (1 << doublings) / 2
}

/// Counts of the most frequent of many keys, by Misra and Gries: a count is at most [`Heavy::lost`] too
/// low, whatever came, and whoever came more often than that is among them.
pub(super) struct Heavy {
    counts: HashMap<Box<[u8]>, u64>,
    keys_max: usize,
    /// How often every count was lowered to make room.
    pub lost: u64,
}

impl Heavy {
    pub(super) fn new(keys_max: usize) -> Self {
        Self { counts: HashMap::new(), keys_max, lost: 0 }
    }

    pub(super) fn add(&mut self, key: &[u8]) {
        if let Some(count) = self.counts.get_mut(key) {
            *count += 1;
        } else if self.counts.len() < self.keys_max {
            self.counts.insert(key.into(), 1);
        } else {
            self.lost += 1;
            self.counts.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// The most frequent, the first first.
    pub(super) fn top(&self, count: usize) -> Vec<(&[u8], u64)> {
        let all = self.counts.iter().map(|(key, count)| (&**key, *count));
        top(all, count, |(_, count)| *count)
    }
}

/// The largest of some, the largest first; those of one size in their own order.
pub(super) fn top<T: Ord>(
    all: impl Iterator<Item = T>,
    count: usize,
    size: impl Fn(&T) -> u64,
) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable_by(|one, other| size(other).cmp(&size(one)).then_with(|| one.cmp(other)));
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn hit<'h>(path: &'h str, status: u16, address: &'h str) -> Hit<'h> {
        Hit {
            at_ms: 0,
            method: Cow::Borrowed(b"GET"),
            target: Cow::Borrowed(path.as_bytes()),
            status,
            took_us: Some(1_000),
            address: Cow::Borrowed(address.as_bytes()),
        }
    }

    #[test]
    fn however_many_routes_and_addresses_come_the_maps_stay_small() {
        let mut tally = Tally::new(b"/login");
        for number in 0..30_000 {
            let (word, address) = (format!("/w{number}x"), format!("10.0.{number}"));
            tally.add(&hit(&word, 404, "1"));
            tally.add(&hit("/login", 401, &address));
            if number % 3 == 0 {
                tally.add(&hit("/login/x", 403, "6.6.6.6"));
            }
        }
        for number in 0..2_000 {
            tally.add(&hit(&format!("/found{number}y"), 200, "1"));
        }

        assert_eq!(tally.routes.len(), ROUTES_MAX);
        assert!(tally.addresses.len() <= ADDRESSES_MAX);
        assert_eq!(
            tally.routes.iter().map(|route| route.requests).sum::<u64>() + tally.other,
            72_000
        );
        assert_eq!(tally.failed_sign_ins, 40_000);
        let top = tally.addresses.top(1);
        assert_eq!(top[0].0, b"6.6.6.6");
        assert!(top[0].1 <= 10_000 && top[0].1 + tally.addresses.lost >= 10_000);
    }

    #[test]
    fn quantiles_of_nothing_are_none() {
        assert_eq!(Histogram::default().at(500), None);
    }

    proptest! {
        #[test]
        fn every_duration_has_a_cell_and_comes_back_nearly(us in 0..=US_MAX) {
            let cell = cell_of(us);
            prop_assert!(cell < CELLS);
            let back = middle_of(cell);
            prop_assert!(back.abs_diff(us) <= us / 32 + 1, "{us} came back as {back}");
        }

        #[test]
        fn a_quantile_is_nearly_the_exact_one(
            mut all in proptest::collection::vec(0u64..10_000_000, 1..200), thousandths in 1u64..=1_000
        ) {
            let mut histogram = Histogram::default();
            all.iter().for_each(|us| histogram.add(*us));
            all.sort_unstable();
            let rank = (all.len() as u64 * thousandths).div_ceil(1_000).max(1) as usize;
            let (exact, found) = (all[rank - 1], histogram.at(thousandths).unwrap());
            prop_assert!(found.abs_diff(exact) <= exact / 32 + 1, "{found} for {exact}");
        }
    }
}
