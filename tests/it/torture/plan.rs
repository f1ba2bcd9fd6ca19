//! What a round of torture does, and when: made from the seed alone, so that a seed repeats it.

/// A small generator (SplitMix64), so that a seed means the same on every machine.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// What is tortured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub name: &'static str,
    pub is_postgres: bool,
    pub bots: usize,
    pub environments: usize,
    /// Each bot a host of its own, and each environment on one of them; else all share one name.
    pub has_hosts: bool,
    /// Runs that are asked for in one round, at most.
    pub asks_max: u64,
}

/// In turn, one season each.
pub const SHAPES: [Shape; 4] = [
    Shape {
        name: "one bot on SQLite",
        is_postgres: false,
        bots: 1,
        environments: 20,
        has_hosts: false,
        asks_max: 20,
    },
    Shape {
        name: "one bot on PostgreSQL",
        is_postgres: true,
        bots: 1,
        environments: 20,
        has_hosts: false,
        asks_max: 20,
    },
    Shape {
        name: "three bots of one host on PostgreSQL, 50 environments",
        is_postgres: true,
        bots: 3,
        environments: 50,
        has_hosts: false,
        asks_max: 30,
    },
    Shape {
        name: "three bots of three hosts on PostgreSQL, 50 environments",
        is_postgres: true,
        bots: 3,
        environments: 50,
        has_hosts: true,
        asks_max: 30,
    },
];

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Somebody asks for a run.
    Ask {
        user: &'static str,
        action: &'static str,
        environment: usize,
        bot: usize,
    },
    /// Somebody wants a run stopped; which of those that are known is `pick` modulo their number.
    Cancel {
        pick: u64,
        bot: usize,
    },
    /// Somebody asks what is going on.
    Status {
        bot: usize,
    },
    Blow(Blow),
}

/// One blow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// kill -9 of a bot; it is started again after `down_ms`.
    Bot { bot: usize, down_ms: u64 },
    /// kill -9 of a supervisor, and of its step with it; which is `pick` modulo their number.
    Supervisor { pick: u64 },
    /// kill -9 of every supervisor and a bot.
    Both { bot: usize, down_ms: u64 },
    /// kill -9 of PostgreSQL's postmaster and all its children; it is started again.
    Database { down_ms: u64 },
    /// SIGSTOP, and SIGCONT after `stopped_ms`.
    Stop { bot: usize, stopped_ms: u64 },
    /// A bot is started anew and kills itself at the `passage`-th time it comes by a named place.
    Place { bot: usize, place: &'static str, passage: u64 },
    /// Slack answers nothing well.
    Slack { for_ms: u64 },
}

impl Blow {
    pub const KINDS: [&'static str; 7] = [
        "bot killed",
        "supervisor killed",
        "bot and supervisors killed",
        "database killed",
        "bot stopped",
        "bot killed at a named place",
        "storm in Slack",
    ];

    /// Its place in [`Blow::KINDS`].
    pub fn kind(self) -> usize {
        match self {
            Self::Bot { .. } => 0,
            Self::Supervisor { .. } => 1,
            Self::Both { .. } => 2,
            Self::Database { .. } => 3,
            Self::Stop { .. } => 4,
            Self::Place { .. } => 5,
            Self::Slack { .. } => 6,
        }
    }
}

/// Where a bot of a debug build can kill itself.
const PLACES: [&str; 6] = [
    "unit.before_commit",
    "unit.after_commit",
    "driver.before_start",
    "driver.after_start",
    "sender.before_call",
    "sender.after_call",
];
/// Between the first and the last deed of a round.
const ROUND_MS: u64 = 6_000;
/// The bots' lease under torture.
pub const LEASE_MS: u64 = 2_500;

/// The deeds of one round with their moments, in order.
pub fn round(shape: Shape, chance: &mut Chance) -> Vec<(u64, Deed)> {
    let bots = shape.bots as u64;
    let mut deeds = Vec::new();
    for _ in 0..chance.between(shape.asks_max / 2, shape.asks_max) {
        let deed = Deed::Ask {
            user: chance.pick(&["U0ANN", "U0BOB"]),
            action: chance.pick(&super::world::ACTIONS).name,
            environment: chance.below(shape.environments as u64) as usize,
            bot: chance.below(bots) as usize,
        };
        deeds.push((chance.below(ROUND_MS * 2 / 3), deed));
    }
    for _ in 0..chance.below(3) {
        let deed = Deed::Cancel { pick: chance.next(), bot: chance.below(bots) as usize };
        deeds.push((chance.between(ROUND_MS / 4, ROUND_MS), deed));
    }
    for _ in 0..chance.below(3) {
        deeds.push((chance.below(ROUND_MS), Deed::Status { bot: chance.below(bots) as usize }));
    }
    for _ in 0..chance.between(4, 9) {
        let blow = blow(shape, chance);
        deeds.push((chance.between(200, ROUND_MS), Deed::Blow(blow)));
    }
    deeds.sort_by_key(|(at_ms, _)| *at_ms);
    deeds
}

fn blow(shape: Shape, chance: &mut Chance) -> Blow {
    let bot = chance.below(shape.bots as u64) as usize;
    let down_ms = chance.below(1_500);
    match chance.below(14) {
        0..=2 => Blow::Bot { bot, down_ms },
        3..=5 => Blow::Supervisor { pick: chance.next() },
        6 => Blow::Both { bot, down_ms },
        7 | 8 if shape.is_postgres => Blow::Database { down_ms },
        // From just over the lease to well over the lease of a channel, which is twice as long.
        7..=9 => Blow::Stop { bot, stopped_ms: chance.between(LEASE_MS + 500, LEASE_MS * 3) },
        10 | 11 => Blow::Slack { for_ms: chance.between(1_000, 4_000) },
        _ => Blow::Place { bot, place: chance.pick(&PLACES), passage: chance.between(1, 12) },
    }
}

#[test]
fn a_seed_means_the_same_schedule_for_ever() {
    let schedule = |seed| round(SHAPES[2], &mut Chance::new(seed));

    assert_eq!(schedule(7), schedule(7));
    assert_ne!(schedule(7), schedule(8));
    assert_eq!(Chance::new(1).next(), 0x910a_2dec_8902_5cc1);
}
