//! The command.

use quarry_client::ClientError;
use quarry_types::MessageId;
use serde::Serialize;

use super::{
    ask::Asker,
    cluster,
    finding::{Finding, Severity, counted},
    machine::Machine,
    start, wait,
};
use crate::{
    cli::{DoctorArguments, Format, Global, Patient},
    command::connection::address,
    failure::{Exit, Failure},
    output::Output,
};

/// What was found.
#[derive(Debug, Serialize)]
struct Diagnosis {
    /// What was looked at.
    subject: String,
    /// Whether nothing is wrong.
    ok: bool,
    /// What was found, the worst first.
    findings: Vec<Finding>,
    /// How the command ends where something is wrong.
    #[serde(skip)]
    exit: Exit,
}

/// Runs the command; something that is wrong is a failure.
pub(crate) async fn run(
    arguments: &DoctorArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let asker = Asker::new(global)?;
    let diagnosis = match &arguments.patient {
        None => of_cluster(&asker, global).await?,
        Some(Patient::Message { id }) => of_message(&asker, id).await?,
        Some(Patient::Entity { entity }) => of_entity(&asker, entity).await?,
    };
    diagnosis.print(output)?;
    diagnosis.end()
}

async fn of_cluster(asker: &Asker, global: &Global) -> Result<Diagnosis, Failure> {
    match asker.facts().await {
        Ok(facts) => Ok(Diagnosis::of("cluster", cluster::findings(&facts), Exit::Failed)),
        Err(error @ (ClientError::Unreachable { .. } | ClientError::Unavailable { .. })) => {
            let machine = Machine::look(global, error.to_string()).await;
            let exit = if machine.is_named { Exit::Unavailable } else { Exit::Failed };
            Ok(Diagnosis::of("this machine", start::findings(&machine), exit))
        }
        Err(error) => Err(error.into()),
    }
}

async fn of_message(asker: &Asker, id: &str) -> Result<Diagnosis, Failure> {
    let message: MessageId = id
        .parse()
        .map_err(|error| Failure::new(Exit::Usage, format!("{id:?} is no message id: {error}")))?;
    let subject = format!("message {message}");
    let Some(seen) = asker.message(message).await? else {
        return Ok(Diagnosis::of(subject, vec![wait::unknown(id)], Exit::NotFound));
    };
    let facts = asker.facts().await?;
    let found = wait::of_message(&facts, &cluster::findings(&facts), &seen);
    Ok(Diagnosis::of(subject, found, Exit::Failed))
}

async fn of_entity(asker: &Asker, entity: &str) -> Result<Diagnosis, Failure> {
    let address = address(entity)?;
    let seen = asker.entity(&address).await?;
    let facts = asker.facts().await?;
    let found = wait::of_entity(&facts, &cluster::findings(&facts), &seen);
    Ok(Diagnosis::of(format!("entity {entity}"), found, Exit::Failed))
}

impl Diagnosis {
    fn of(subject: impl Into<String>, findings: Vec<Finding>, exit: Exit) -> Self {
        let ok = findings.iter().all(|finding| finding.severity == Severity::Notice);
        Self { subject: subject.into(), ok, findings, exit }
    }

    fn print(&self, output: Output) -> Result<(), Failure> {
        if output.format() != Format::Table {
            return output.record(&[], self);
        }
        if self.findings.is_empty() {
            return output.line("nothing is wrong");
        }
        for Finding { severity, what, advice, .. } in &self.findings {
            output.line(&format!("{:8} {what}", severity.name()))?;
            if let Some(advice) = advice {
                output.line(&format!("{:8} {advice}", ""))?;
            }
        }
        Ok(())
    }

    fn end(&self) -> Result<(), Failure> {
        if self.ok {
            return Ok(());
        }
        let of = |severity: Severity| {
            let count = self.findings.iter().filter(|found| found.severity == severity).count();
            counted(u64::try_from(count).unwrap_or(u64::MAX), severity.name())
        };
        let message = format!(
            "{} is not well: {}, {}",
            self.subject,
            of(Severity::Error),
            of(Severity::Warning)
        );
        Err(Failure::new(self.exit, message))
    }
}
