//! Uploads in three steps: ask for an address, send the bytes there, complete.

use super::api::Args;
use super::state::{Refusal, SharedFile, State};
use serde_json::{Value, json};

pub(super) fn get_upload_url(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let name = args.required("filename")?.to_owned();
    let length = args.number("length").filter(|length| *length > 0).ok_or_else(|| Refusal {
        error: "invalid_arguments".to_owned(),
        messages: vec!["[ERROR] length must be a positive number".to_owned()],
    })?;
    let id = format!("F0{}", state.next_serial());
    let url = format!("{}/upload/{id}", state.base_url);
    let file = SharedFile {
        id: id.clone(),
        title: name.clone(),
        name,
        length,
        bytes: None,
        is_complete: false,
        channel: None,
    };
    state.files.insert(id.clone(), file);
    Ok(json!({"upload_url": url, "file_id": id}))
}

/// Takes the bytes of an announced file.
pub(super) fn receive(state: &mut State, id: &str, bytes: &[u8]) -> Result<(), &'static str> {
    let file = state.files.get_mut(id).ok_or("no upload was announced at this address")?;
    if file.bytes.is_some() {
        return Err("this address was used");
    }
    if file.length != bytes.len() {
        return Err("the length is not the one that was announced");
    }
    file.bytes = Some(bytes.to_vec());
    Ok(())
}

pub(super) fn complete_upload(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let files = args.0.get("files").and_then(Value::as_array);
    let Some(files) = files.filter(|files| !files.is_empty()).cloned() else {
        args.required("files")?;
        return Err(Refusal::new("invalid_arguments"));
    };
    let channel = args.text("channel_id").map(str::to_owned);
    if let Some(channel) = &channel {
        match state.rooms.get(channel) {
            None => return Err(Refusal::new("channel_not_found")),
            Some(room) if !room.channel.has_bot => return Err(Refusal::new("not_in_channel")),
            Some(_) => {}
        }
        if args.text("thread_ts").is_some_and(|ts| state.find(channel, ts).is_none()) {
            return Err(Refusal::new("thread_not_found"));
        }
    }
    let mut completed = Vec::new();
    for wanted in &files {
        let id = wanted.get("id").and_then(Value::as_str).unwrap_or_default();
        let file = state.files.get_mut(id).filter(|file| file.bytes.is_some() && !file.is_complete);
        let file = file.ok_or_else(|| Refusal::new("file_not_found"))?;
        if let Some(title) = wanted.get("title").and_then(Value::as_str) {
            title.clone_into(&mut file.title);
        }
        file.is_complete = true;
        file.channel.clone_from(&channel);
        completed.push(json!({"id": file.id, "name": file.name, "title": file.title}));
    }
    if let Some(channel) = channel {
        let mut said = args.0.clone();
        let comment = args.text("initial_comment").unwrap_or_default();
        said.insert("text".to_owned(), json!(comment));
        if !comment.is_empty() {
            state.check("files.completeUploadExternal", &said)?;
        }
        let mut message = state.compose(&channel, &said);
        let ids = completed.iter().filter_map(|file| file["id"].as_str().map(str::to_owned));
        message.files = ids.collect();
        state.post(message);
    }
    Ok(json!({"files": completed}))
}
