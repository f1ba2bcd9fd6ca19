//! How many approvals count: of one role each person's; of several roles each role once, through another
//! person each.

/// What the approvals come to: `held` has an entry a person, the roles that they hold. A person counts
/// once, whichever of their roles is needed.
pub fn reached(from: &[String], held: &[Vec<String>]) -> u32 {
    let holds_one = |roles: &&Vec<String>| roles.iter().any(|role| from.contains(role));
    if let [_only] = from {
        return u32::try_from(held.iter().filter(holds_one).count()).unwrap_or(u32::MAX);
    }
    // The largest matching of people to roles, by augmenting paths; both are few.
    let mut person_of: Vec<Option<usize>> = vec![None; from.len()];
    let mut reached = 0;
    for person in 0..held.len() {
        let mut tried = vec![false; from.len()];
        reached += u32::from(finds_role(person, from, held, &mut person_of, &mut tried));
    }
    reached
}

/// Gives a person a role, moving others to another of theirs where that frees one.
fn finds_role(
    person: usize,
    from: &[String],
    held: &[Vec<String>],
    person_of: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for (role, name) in from.iter().enumerate() {
        if tried[role] || !held[person].contains(name) {
            continue;
        }
        tried[role] = true;
        let is_free = match person_of[role] {
            None => true,
            Some(other) => finds_role(other, from, held, person_of, tried),
        };
        if is_free {
            person_of[role] = Some(person);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn people_of_one_role_are_counted() {
        let lead = words(&["lead"]);
        assert_eq!(reached(&lead, &[lead.clone(), words(&["dba"]), words(&["x", "lead"])]), 2);
    }

    #[test]
    fn of_several_roles_each_counts_once_and_each_through_another_person() {
        let from = words(&["lead", "dba", "security"]);
        let (lead, both) = (words(&["lead"]), words(&["lead", "dba"]));

        assert_eq!(reached(&from, &[lead.clone(), lead.clone()]), 1, "two leads are one role");
        assert_eq!(reached(&from, std::slice::from_ref(&both)), 1, "one person is one");
        assert_eq!(reached(&from, &[both.clone(), lead.clone()]), 2, "the first moves to dba");
        assert_eq!(reached(&from, &[words(&["other"])]), 0);
    }

    /// Every way of giving roles to people, tried one by one.
    fn by_hand(from: &[String], held: &[Vec<String>]) -> u32 {
        let Some((first, rest)) = held.split_first() else { return 0 };
        let without = by_hand(from, rest);
        let with = from.iter().enumerate().filter(|(_, role)| first.contains(role));
        let with = with.map(|(at, _)| {
            let others: Vec<String> = from
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at)
                .map(|(_, role)| role.clone())
                .collect();
            1 + by_hand(&others, rest)
        });
        with.fold(without, u32::max)
    }

    proptest! {
        #[test]
        fn no_way_of_counting_gives_more(
            held in prop::collection::vec(prop::collection::vec("[abcd]", 0..3), 0..5),
            from in prop::collection::hash_set("[abcd]", 2..4),
        ) {
            let from: Vec<String> = from.into_iter().collect();
            prop_assert_eq!(reached(&from, &held), by_hand(&from, &held));
        }

        #[test]
        fn another_approval_never_takes_one_away(
            held in prop::collection::vec(prop::collection::vec("[abc]", 0..3), 0..5),
            one_more in prop::collection::vec("[abc]", 0..3),
        ) {
            let from = words(&["a", "b", "c"]);
            let before = reached(&from, &held);
            let mut more = held.clone();
            more.push(one_more);
            let after = reached(&from, &more);
            prop_assert!(after == before || after == before + 1);
        }
    }
}
