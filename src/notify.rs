//! Notices that do not go through Slack: mail, and PagerDuty. Each sends one notice and says what came of
//! it; what is due, in which order and how often is the outbox's.
