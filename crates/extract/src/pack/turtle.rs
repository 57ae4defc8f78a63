//! An RDF vocabulary in Turtle as a pack: classes, properties and individuals of RDFS, OWL and SKOS.
//!
//! What RDF has no words for is said in notes: a property without a domain or range cannot be told
//! apart in a text, and is left out.

use oxttl::{TurtleParser, turtle::LowLevelTurtleParser};

use super::{PackError, vocabulary::Vocabulary};

/// Most triples that are read; more are refused.
const MOST_TRIPLES: usize = 2_000_000;

/// Reads a vocabulary.
///
/// # Errors
/// Where the text is no Turtle: the first place where it is none.
pub(super) fn vocabulary(text: &str) -> Result<Vocabulary, PackError> {
    let mut parser = TurtleParser::new().low_level();
    let mut vocabulary = Vocabulary::default();
    let (mut count, mut begin) = (0, 0);
    for line in text.split_inclusive('\n') {
        parser.extend_from_slice(line.as_bytes());
        count += take(&mut parser, begin, &mut vocabulary)?;
        begin += line.len();
        if count > MOST_TRIPLES {
            let message = format!("has more than {MOST_TRIPLES} triples; split it");
            return Err(PackError::whole(None, message));
        }
    }
    parser.end();
    take(&mut parser, begin, &mut vocabulary)?;
    Ok(vocabulary)
}

/// Takes the triples that are complete; the line that completes them begins at byte `begin`.
fn take(
    parser: &mut LowLevelTurtleParser,
    begin: usize,
    vocabulary: &mut Vocabulary,
) -> Result<usize, PackError> {
    let mut count = 0;
    while let Some(next) = parser.parse_next() {
        let triple = next.map_err(|error| {
            let line = u32::try_from(error.location().start.line.saturating_add(1)).ok();
            PackError::whole(line, format!("is no Turtle: {}", error.message()))
        })?;
        vocabulary.hear(begin, triple);
        count += 1;
    }
    Ok(count)
}
