//! No path into the engine without proof that somebody may: what the signatures of its deeds say. That
//! nobody makes such a proof but `core::policy`, and that no deed does without, does not even compile: see
//! the examples at `Authorized`.

use crate::matrix::sources_of;

/// Takes what somebody asked, and no proof.
const ASKED_WITHOUT_PROOF: [(&str, &str); 1] =
    [("answer", "writes a refusal, a denial or what was shown, with its entry; changes no run")];

/// Writes without anybody having asked.
const BY_ITSELF: [(&str, &str); 45] = [
    ("advance_together", "what time brings to alerts"),
    ("amend", "evidence that a host kept, under the fence of whoever drives the run"),
    ("announce", "the bot's own words; changes no run"),
    ("apply", "what became of a step, under the fence of whoever drives the run"),
    ("begin", "ends what this bot's earlier process leased"),
    ("begin_hand_overs", "from when on changes of who is on call are told"),
    ("begin_watch", "since when something that the bot watches of itself is wrong"),
    ("claim_rule", "which bot evaluates a rule"),
    ("claim_together", "takes runs whose gates have opened"),
    ("drop_rules", "rules that the configuration has no more"),
    ("end_watch", "that it is over"),
    ("expire_overdue", "ends what nobody approved in time"),
    ("forget_deliveries", "answers that nobody can ask for again"),
    ("forget_people", "what Slack said too long ago"),
    ("gate_unasked", "a run waits, under the fence of whoever drives it"),
    ("hand_over", "words alone"),
    ("hear_of_alert", "what PagerDuty says, of whom its own signature is the proof"),
    ("hear_watchdog", "that Alertmanager was heard of"),
    ("keep_members", "what Slack said of groups"),
    ("keep_standing", "what Slack said of a person"),
    ("keep_tick", "what a rule's measure came to"),
    ("keep_workspace", "what Slack said of the workspace"),
    ("message_done", "what became of a message"),
    ("next_message", "claims a channel"),
    ("observe_together", "what sources say of alerts; their token is the proof"),
    ("open_gates", "queues runs whose gates have opened by themselves"),
    ("post_head", "the journal's head of a day"),
    ("refuse_wish", "a decision that its host did not carry out"),
    ("remind", "words alone"),
    ("remind_of_follow_ups", "words alone"),
    ("remind_of_reviews", "words alone"),
    ("renew", "prolongs the leases of its own runs"),
    ("send_back", "a run waits once more at its turn, under the fence of whoever drives it"),
    ("settle_wish", "a decision that was let in when it was handed on"),
    ("show_output", "words alone"),
    ("show_queue", "words alone"),
    ("stand_by_watch", "that a bot sees it still"),
    ("swept", "what retention removed"),
    ("tell_of_changes", "words alone"),
    ("tell_of_checks", "queues a run whose checks have passed, if no other gate is open"),
    ("tell_of_silences", "open alerts hear of a silence that somebody began or ended with proof"),
    ("tell_undelivered", "words alone, by the other ways"),
    ("warn_of_silences", "words alone"),
    ("watch_hosts", "a silent host cannot be asked; after long its step is unknown"),
    ("weigh_inhibitions", "alerts are quiet while another explains them"),
];

/// A function of the engine: its name, its signature, its body.
struct Deed {
    is_public: bool,
    name: String,
    signature: String,
    body: String,
}

fn deeds() -> Vec<Deed> {
    let mut found = Vec::new();
    for (_, text) in sources_of("src/engine") {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let pieces: Vec<&str> = code.split("async fn ").collect();
        for pair in pieces.windows(2) {
            let (before, rest) = (pair[0], pair[1]);
            let is_public = before.ends_with("pub ");
            let (signature, body) = rest.split_once('{').unwrap();
            // A function ends where its line of `}` stands as far left as it began.
            let end = ["\n    }\n", "\n}\n"].iter().filter_map(|end| body.find(end)).min().unwrap();
            let name = signature.split(['(', '<']).next().unwrap().to_owned();
            found.push(Deed {
                is_public,
                name,
                signature: signature.to_owned(),
                body: body[..end].to_owned(),
            });
        }
    }
    assert!(found.len() > 40, "the engine was not found: {}", found.len());
    found
}

#[test]
fn whatever_somebody_asks_of_the_engine_takes_proof_that_they_may() {
    let mut with_proof = 0;
    let deeds = deeds();
    // What is private works inside the transaction of one that is not.
    for deed in deeds.iter().filter(|deed| deed.is_public && deed.signature.contains("Asked")) {
        let is_excepted = ASKED_WITHOUT_PROOF.iter().any(|(name, _)| *name == deed.name);
        let has_proof = deed.signature.contains("&Authorized");
        assert!(has_proof != is_excepted, "`{}` takes an Asked and no &Authorized", deed.name);
        with_proof += u32::from(has_proof);
    }
    assert!(with_proof >= 8, "{with_proof}");
}

#[test]
fn what_the_engine_writes_unasked_is_known_by_name() {
    let writes =
        |deed: &Deed| ["unit(", "unit_single_write("].iter().any(|mark| deed.body.contains(mark));
    let deeds = deeds();
    let mut unasked: Vec<&str> = deeds
        .iter()
        .filter(|deed| writes(deed) && !deed.signature.contains("Asked"))
        .map(|deed| deed.name.as_str())
        .collect();
    unasked.sort_unstable();

    let known: Vec<&str> = BY_ITSELF.iter().map(|(name, _)| *name).collect();
    assert_eq!(unasked, known, "say by what right it writes, or take an `&Authorized`");
}

/// Who has the rules make a proof, how often, and of what.
const MAKERS: [(&str, usize, &str); 4] = [
    ("src/command/help.rs", 1, "to list what the reader may; the proof is thrown away"),
    ("src/command/powers.rs", 3, "of what Slack said of the asker, and of whoever let them decide"),
    ("src/command/whoami.rs", 1, "to say which roles the asker holds; the proof is thrown away"),
    ("src/pipeline.rs", 1, "about oneself, for `whoami` and one's own shift"),
];

#[test]
fn proofs_are_made_where_it_is_known_of_what() {
    let calls = ["authorize(", "authorize_all(", "authorize_in_place_of(", "about_oneself("];
    let mut found = Vec::new();
    for (path, text) in sources_of("src") {
        if path == "src/core/policy.rs" {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let made: usize = calls.iter().map(|call| code.matches(call).count()).sum();
        found.extend((made > 0).then_some((path, made)));
    }
    found.sort();

    let known: Vec<(String, usize)> =
        MAKERS.iter().map(|(path, made, _)| ((*path).to_owned(), *made)).collect();
    assert_eq!(found, known, "say of what it is a proof, and who asked Slack for that");
}
