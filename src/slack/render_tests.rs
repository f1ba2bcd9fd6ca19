//! Cards of every kind against Slack's limits, checked on the JSON that would be sent.

use super::*;
use crate::core::card::text;
use crate::core::id::UserId;
use proptest::prelude::*;
use serde_json::{Value, json};

fn blocks(card: &Card) -> Vec<Value> {
    let Value::Object(message) = serde_json::to_value(render(card)).unwrap() else { panic!() };
    message["blocks"].as_array().unwrap().clone()
}

fn card(parts: Vec<Part>) -> Card {
    Card { summary: "s".into(), tone: Tone::Neutral, parts }
}

fn button(label: &str, action: &str) -> Button {
    Button {
        label: label.into(),
        action: action.into(),
        value: "R-1".into(),
        style: ButtonStyle::Default,
        confirm: None,
    }
}

#[test]
fn a_run_card_in_chinese() {
    let field = |label: &str, value: Span| (label.to_owned(), vec![value]);
    let card = Card {
        summary: "回滚 v1.2：等待批准（R-7K3M9QXA）".into(),
        tone: Tone::Warning,
        parts: vec![
            Part::Header("回滚 production → v1.2".into()),
            Part::Fields(vec![
                field("操作人", Span::User(UserId::new("U0ANN"))),
                field("版本", Span::Code("v1.2".into())),
                field("原因", text("p99 > 2s & 用户投诉 <!channel>")),
                field("批准人", text("")),
            ]),
            Part::Paragraph(vec![
                text("需要"),
                Span::Group("S0LEADS".into()),
                text("中"),
                Span::Bold("1".into()),
                text("人批准。"),
            ]),
            Part::Output("\u{1b}[31merror\u{1b}[0m: health < 200\n```\n".into()),
            Part::Buttons(vec![
                Button {
                    style: ButtonStyle::Primary,
                    confirm: Some(Confirm {
                        title: "批准回滚？".into(),
                        text: "v1.4 → v1.2，约 2 分钟".into(),
                        yes: "批准".into(),
                        no: "返回".into(),
                    }),
                    ..button("批准", "approve")
                },
                Button { style: ButtonStyle::Danger, ..button("拒绝", "reject") },
            ]),
            Part::Divider,
            Part::Context(vec![
                text("R-7K3M9QXA · "),
                Span::Link { url: "https://ops.test/r?a=1&b=2".into(), label: "日志".into() },
            ]),
        ],
    };

    insta::assert_snapshot!(serde_json::to_string_pretty(&render(&card)).unwrap());
}

#[test]
fn the_tone_stands_before_the_header_unless_it_has_a_symbol() {
    let shown = |part: Part| blocks(&Card { tone: Tone::Bad, ..card(vec![part]) })[0].clone();

    assert_eq!(shown(Part::Header("失败".into()))["text"]["text"], "🔴 失败");
    assert_eq!(shown(Part::Header("✅ 完成".into()))["text"]["text"], "✅ 完成");
    assert_eq!(shown(Part::Paragraph(vec![text("failed")]))["text"]["text"], "🔴 failed");
    assert_eq!(shown(Part::Context(vec![text("x")]))["elements"][0]["text"], "x");
}

#[test]
fn buttons_survive_a_card_that_is_too_long() {
    let mut parts: Vec<Part> =
        (0..80).map(|n| Part::Paragraph(vec![text(n.to_string())])).collect();
    parts.push(Part::Buttons(vec![button("Approve", "approve")]));

    let blocks = blocks(&card(parts));

    assert_eq!(blocks.len(), 50);
    assert_eq!(blocks[47]["text"]["text"], "47");
    assert_eq!(blocks[48]["elements"][0]["action_id"], "approve");
    assert_eq!(blocks[49]["elements"][0]["text"], "… 32 more · 另有 32 项");
}

#[test]
fn rows_are_split_by_number_and_by_action() {
    let many = (0..26).map(|n| button("x", &n.to_string())).collect();
    let twice = vec![button("A", "approve"), button("B", "reject"), button("C", "approve")];
    let fields = (0..11).map(|n| (n.to_string(), vec![text("v")])).collect();

    let blocks =
        blocks(&card(vec![Part::Buttons(many), Part::Buttons(twice), Part::Fields(fields)]));

    let sizes: Vec<usize> = blocks
        .iter()
        .map(|block| {
            block.get("elements").or(block.get("fields")).unwrap().as_array().unwrap().len()
        })
        .collect();
    assert_eq!(sizes, [25, 1, 2, 1, 10, 1]);
}

#[test]
fn a_card_of_nothing_is_still_a_message() {
    let empty = Card {
        summary: String::new(),
        ..card(vec![Part::Header(" \n".into()), Part::Buttons(vec![])])
    };

    let rendered = render(&empty);

    assert_eq!(rendered.text, "–");
    assert_eq!(rendered.blocks.len(), 1);
}

#[test]
fn an_answer_says_where_it_goes() {
    let rendered = render(&Card::plain("hi"));
    let shape = |place| {
        let mut answer = serde_json::to_value(rendered.answer(place)).unwrap();
        answer.as_object_mut().unwrap().remove("blocks");
        answer
    };

    assert_eq!(
        shape(Place::Private),
        json!({"response_type": "ephemeral", "replace_original": false, "text": "hi"})
    );
    assert_eq!(
        shape(Place::Channel),
        json!({"response_type": "in_channel", "replace_original": false, "text": "hi"})
    );
    assert_eq!(shape(Place::Original), json!({"replace_original": true, "text": "hi"}));
}

// An independent reading of Slack's limits; knows nothing of the renderer.

fn utf16(value: &Value) -> usize {
    value.as_str().unwrap().encode_utf16().count()
}

fn check_shown(text: &Value, max: usize, here: bool) {
    let shown = text.as_str().unwrap();
    assert!((1..=max).contains(&utf16(text)), "{} units of {max}: {shown:?}", utf16(text));
    assert!(!shown.trim().is_empty(), "{shown:?}");
    let odd = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!shown.contains(odd), "{shown:?}");
    assert!(!shown.contains("<!channel") && !shown.contains("<!everyone"), "{shown:?}");
    assert!(here || !shown.contains("<!here"), "{shown:?}");
}

/// `secs^{…} {…}|2026-11-24 03:00:00 UTC`
fn is_moment(token: &str) -> bool {
    let parts = token.split_once("^{date_short_pretty} {time_secs}|");
    parts.is_some_and(|(secs, label)| {
        let is_plain = |letter: char| letter.is_ascii_digit() || " :-+UTC".contains(letter);
        secs.parse::<i64>().is_ok() && !label.is_empty() && label.chars().all(is_plain)
    })
}

fn check_markup(text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>']) {
        rest = &rest[at..];
        if let Some(inside) = rest.strip_prefix('<') {
            let end = inside.find('>').unwrap_or_else(|| panic!("open <: {text:?}"));
            let token = &inside[..end];
            let is_id = |id: &str| {
                !id.is_empty() && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            };
            let is_known = token == "!here"
                || token.strip_prefix('@').is_some_and(is_id)
                || token.strip_prefix("!subteam^").is_some_and(is_id)
                || token.strip_prefix("!date^").is_some_and(is_moment)
                || token.starts_with("http://")
                || token.starts_with("https://");
            assert!(
                is_known && !token.contains('<') && token.matches('|').count() <= 1,
                "{token:?} in {text:?}"
            );
            rest = &inside[end + 1..];
        } else {
            let entity =
                ["&amp;", "&lt;", "&gt;"].into_iter().find(|entity| rest.starts_with(entity));
            rest = &rest[entity.unwrap_or_else(|| panic!("unescaped: {text:?}")).len()..];
        }
    }
}

fn check_text(object: &Value, max: usize, here: bool) {
    check_shown(&object["text"], max, here);
    let text = object["text"].as_str().unwrap();
    match object["type"].as_str().unwrap() {
        "mrkdwn" => {
            assert_eq!(object["verbatim"], true);
            check_markup(text);
            let fences = text.matches("```").count();
            assert!(
                fences == 0
                    || (fences == 2 && text.starts_with("```\n") && text.ends_with("\n```")),
                "{text:?}"
            );
        }
        "plain_text" => assert!(!text.contains(['<', '>', '\n']), "{text:?}"),
        other => panic!("{other}"),
    }
}

fn check_button(button: &Value, ids: &mut Vec<String>) {
    assert_eq!(button["type"], "button");
    check_text(&button["text"], 75, false);
    assert_eq!(button["text"]["type"], "plain_text");
    let id = button["action_id"].as_str().unwrap().to_owned();
    assert!((1..=255).contains(&utf16(&button["action_id"])));
    assert!(!ids.contains(&id), "{id:?} twice");
    ids.push(id);
    if let Some(value) = button.get("value") {
        assert!((1..=2_000).contains(&utf16(value)));
    }
    if let Some(style) = button.get("style") {
        assert!(style == "primary" || style == "danger");
    }
    if let Some(confirm) = button.get("confirm") {
        for (name, max) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
            check_text(&confirm[name], max, false);
        }
    }
}

fn check_message(message: &Value, here: bool) {
    check_shown(&message["text"], 4_000, false);
    check_markup(message["text"].as_str().unwrap());
    let blocks = message["blocks"].as_array().unwrap();
    assert!((1..=50).contains(&blocks.len()));
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => {
                check_text(&block["text"], 150, false);
                assert_eq!(block["text"]["type"], "plain_text");
            }
            "section" => {
                if let Some(text) = block.get("text") {
                    check_text(text, 3_000, here);
                }
                let fields = block.get("fields").map(|fields| fields.as_array().unwrap().clone());
                assert!(block.get("text").is_some() || fields.is_some());
                if let Some(fields) = fields {
                    assert!((1..=10).contains(&fields.len()));
                    for field in &fields {
                        check_text(field, 2_000, here);
                    }
                }
            }
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()));
                for element in elements {
                    check_text(element, 3_000, here);
                }
            }
            "actions" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=25).contains(&elements.len()));
                let mut ids = Vec::new();
                for element in elements {
                    check_button(element, &mut ids);
                }
            }
            "divider" => {}
            other => panic!("{other}"),
        }
    }
}

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<!channel>".to_owned()),
        Just("<!here>".to_owned()),
        Just("<!everyone|x>".to_owned()),
        Just("<@U1|x>".to_owned()),
        Just("```".to_owned()),
        Just("*_~`&amp;".to_owned()),
        Just("\u{202e}\u{2066}\0\u{1b}[31m\u{1b}]0;".to_owned()),
        Just("\r\n\t \u{200b}\u{feff}\u{2028}".to_owned()),
        Just("👩‍👩‍👧‍👦回滚".to_owned()),
        Just("https://x.test/?a=1&b=<|>".to_owned()),
        ("[&<>`a😀\n]", 0_usize..4_000).prop_map(|(unit, times)| unit.repeat(times)),
        any::<String>(),
    ];
    prop_oneof![
        1 => Just(String::new()),
        8 => proptest::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat()),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![
        4 => nasty().prop_map(Span::Text),
        2 => nasty().prop_map(Span::Bold),
        2 => nasty().prop_map(Span::Code),
        1 => prop_oneof![Just("U123".to_owned()), nasty()].prop_map(|id| Span::User(UserId::new(id))),
        1 => prop_oneof![Just("S123".to_owned()), nasty()].prop_map(Span::Group),
        1 => Just(Span::Here),
        1 => any::<i64>().prop_map(Span::Time),
        2 => (prop_oneof![Just("https://x.test/".to_owned()), Just("javascript:x".to_owned()), Just(String::new())], nasty(), nasty())
            .prop_map(|(base, tail, label)| Span::Link { url: format!("{base}{tail}"), label }),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    proptest::collection::vec(span(), 0..5)
}

fn any_button() -> impl Strategy<Value = Button> {
    let style = prop_oneof![
        Just(ButtonStyle::Default),
        Just(ButtonStyle::Primary),
        Just(ButtonStyle::Danger)
    ];
    let confirm = (nasty(), nasty(), nasty(), nasty()).prop_map(|(title, text, yes, no)| Confirm {
        title,
        text,
        yes,
        no,
    });
    let action = prop_oneof!["[a-d]", nasty()];
    (nasty(), action, nasty(), style, proptest::option::of(confirm)).prop_map(
        |(label, action, value, style, confirm)| Button { label, action, value, style, confirm },
    )
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        nasty().prop_map(Part::Header),
        line().prop_map(Part::Paragraph),
        proptest::collection::vec((nasty(), line()), 0..13).prop_map(Part::Fields),
        line().prop_map(Part::Context),
        nasty().prop_map(Part::Output),
        Just(Part::Divider),
        proptest::collection::vec(any_button(), 0..5).prop_map(Part::Buttons),
        ("[a-z]", 24_usize..60).prop_map(|(label, times)| {
            Part::Buttons((0..times).map(|n| button(&label, &format!("{n}"))).collect())
        }),
    ]
}

fn any_card() -> impl Strategy<Value = Card> {
    let tone = prop_oneof![
        Just(Tone::Neutral),
        Just(Tone::Active),
        Just(Tone::Good),
        Just(Tone::Warning),
        Just(Tone::Bad)
    ];
    let parts = prop_oneof![
        8 => proptest::collection::vec(part(), 0..6),
        1 => (part(), 50_usize..70).prop_map(|(part, times)| vec![part; times]),
    ];
    (nasty(), tone, parts).prop_map(|(summary, tone, parts)| Card { summary, tone, parts })
}

fn lines(part: &Part) -> Vec<&Line> {
    match part {
        Part::Paragraph(line) | Part::Context(line) => vec![line],
        Part::Fields(fields) => fields.iter().map(|(_, line)| line).collect(),
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_card_keeps_every_limit(card in any_card()) {
        let here = card.parts.iter().flat_map(lines).flatten().any(|span| *span == Span::Here);

        check_message(&serde_json::to_value(render(&card)).unwrap(), here);
    }

    #[test]
    fn up_to_forty_nine_rows_of_buttons_survive(texts in 0_usize..80, rows in 0_usize..49) {
        let mut parts = vec![Part::Divider; texts];
        parts.extend((0..rows).map(|n| Part::Buttons(vec![button("x", &n.to_string())])));

        let shown = blocks(&card(parts));

        prop_assert_eq!(shown.iter().filter(|block| block["type"] == "actions").count(), rows);
    }
}
