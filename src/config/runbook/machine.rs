//! What the runbook expects of this machine: folders, programs, secrets. Never a reason to refuse
//! the file: it may be written before the machine is ready, or on another one.

use crate::config::fault::Fault;
use crate::config::secrets;
use crate::core::action::{Environment, PATH_DEFAULT, Runbook, SecretSource, Step, StepKind};
use crate::core::checklist::By;
use crate::core::template::Template;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Any of these bits of a file's mode lets others than its owner and group read or write it.
const OTHERS_BITS: u32 = 0o007;
const EXECUTE_BITS: u32 = 0o111;

/// Notes on everything that would make a step fail here. Environments of other hosts than `host`
/// are passed over: their steps never run here.
pub fn check_machine(runbook: &Runbook, host: &str) -> Vec<Fault> {
    let mut notes = Vec::new();
    let here = |one: &&Environment| one.host.as_deref().is_none_or(|named| named == host);
    for environment in runbook.environments.values().filter(here) {
        let whole = format!("environment {}", environment.name);
        if !environment.workdir.is_dir() {
            let message = format!("workdir {} is not a folder", environment.workdir.display());
            notes.push(Fault::whole(&whole, message).suggest("create it, or correct `workdir`"));
        }
        for (name, source) in &environment.secrets {
            if let Err(error) = secrets::read_one(source) {
                notes.push(Fault::whole(&whole, format!("secret {name}: {error}")));
            }
            if let SecretSource::File(path) = source
                && mode(path).is_some_and(|mode| mode & OTHERS_BITS != 0)
            {
                let message = format!("secret {name}: everybody can read {}", path.display());
                let way = format!("chmod o-rwx {}", path.display());
                notes.push(Fault::whole(&whole, message).suggest(way));
            }
        }
        for pattern in log_files(runbook, environment) {
            let found = crate::logs::matching(&environment.workdir.join(&pattern));
            if !found.is_ok_and(|paths| paths.iter().any(|path| path.is_file())) {
                let message = format!("log file {pattern} is not found");
                let way = "correct `files`, or let the bot's user read the folder";
                notes.push(Fault::whole(&whole, message).suggest(way));
            }
        }
        for program in programs(runbook, environment) {
            if !is_found(&program, environment) {
                let message = format!("program `{program}` is not found");
                let way = format!(
                    "install it, write its whole path, or set PATH under `variables`; now {}",
                    path_of(environment)
                );
                notes.push(Fault::whole(&whole, message).suggest(way));
            }
        }
    }
    notes
}

/// Every step of an action, and every check of a checklist.
fn steps(runbook: &Runbook) -> impl Iterator<Item = &Step> {
    let items = runbook.checklists.values().flat_map(|list| &list.items);
    let checks = items.filter_map(|item| match &item.by {
        By::Check(step) => Some(&**step),
        By::Tick { .. } => None,
    });
    runbook.actions.values().flat_map(|action| &action.steps).chain(checks)
}

fn log_files(runbook: &Runbook, environment: &Environment) -> BTreeSet<String> {
    let templates = steps(runbook).filter_map(|step| match &step.kind {
        StepKind::Logs { files, .. } => Some(files),
        _ => None,
    });
    filled(templates.flatten(), runbook, environment)
}

/// Templates that name no parameter, in one environment.
fn filled<'t>(
    templates: impl Iterator<Item = &'t Template>,
    runbook: &Runbook,
    environment: &Environment,
) -> BTreeSet<String> {
    let value = |name: &str| environment.value(&runbook.service, name);
    templates.filter_map(|template| template.expand(value).ok()).collect()
}

fn programs(runbook: &Runbook, environment: &Environment) -> BTreeSet<String> {
    let templates = steps(runbook).filter_map(|step| match &step.kind {
        StepKind::Run { argv } => argv.first(),
        StepKind::Http { .. } | StepKind::Logs { .. } | StepKind::Journal { .. } => None,
    });
    filled(templates, runbook, environment)
}

fn path_of(environment: &Environment) -> &str {
    environment.variables.get("PATH").map_or(PATH_DEFAULT, String::as_str)
}

fn is_found(program: &str, environment: &Environment) -> bool {
    let is_program =
        |path: &Path| path.is_file() && mode(path).is_some_and(|mode| mode & EXECUTE_BITS != 0);
    if program.contains('/') {
        return is_program(&environment.workdir.join(program));
    }
    path_of(environment).split(':').any(|folder| is_program(&Path::new(folder).join(program)))
}

fn mode(path: &Path) -> Option<u32> {
    Some(std::fs::metadata(path).ok()?.permissions().mode())
}
