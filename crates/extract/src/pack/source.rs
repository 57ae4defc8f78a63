//! A pack as it was written, and what is made of it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Ontology, Pack, PackError, benchmark, decode, notes, places::Places, terms, turtle, validate,
};
use crate::work::hexadecimal;

/// The longest pack: 16 MiB.
pub const MAX_SOURCE: usize = 16 * 1024 * 1024;

/// How a pack is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Our pack in TOML.
    Toml,
    /// Our pack in JSON, or an ontology in the layout of Text2KGBench.
    Json,
    /// A vocabulary of RDFS, OWL and SKOS in Turtle.
    Turtle,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Toml, Self::Json, Self::Turtle];

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Toml => "application/toml",
            Self::Json => "application/json",
            Self::Turtle => "text/turtle",
        }
    }

    /// The format of a media type, in lower case and without parameters.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.media_type() == media_type)
    }

    /// The format of a file by its ending, in lower case.
    pub fn of_ending(ending: &str) -> Option<Self> {
        match ending {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            "ttl" | "turtle" => Some(Self::Turtle),
            _ => None,
        }
    }
}

/// A pack as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How it is written.
    pub format: Format,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The first 16 hexadecimal digits of the SHA-256 of its bytes: the version of its ontology.
    pub fn version(&self) -> String {
        let mut version = hexadecimal(&Sha256::digest(self.text.as_bytes()));
        version.truncate(16);
        version
    }

    /// The ontology of this id; of the id that it gives itself where none is given. Turtle gives
    /// none.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(&self, id: Option<&str>) -> Result<Ontology, PackError> {
        if self.text.len() > MAX_SOURCE {
            let message =
                format!("has {} bytes, over the limit of {MAX_SOURCE}; split it", self.text.len());
            return Err(PackError::whole(None, message));
        }
        let Read { mut pack, places, mut notes } = self.read(id)?;
        if let Some(id) = id {
            id.clone_into(&mut pack.id);
        }
        let mut ontology = validate::ontology(pack, self.version(), &places)?;
        notes.extend(notes::of(&ontology));
        ontology.notes = notes;
        Ok(ontology)
    }

    fn read(&self, id: Option<&str>) -> Result<Read, PackError> {
        let text = &self.text;
        match self.format {
            Format::Toml => {
                let places = Places::of_toml(text);
                let pack: Pack = decode::toml(text, &places)?;
                Ok(Read { pack, places, notes: Vec::new() })
            }
            Format::Json if benchmark::is_layout(text) => {
                let (pack, notes) = decode::json::<benchmark::Layout>(text)?.pack();
                Ok(Read { pack, places: Places::of_json(text), notes })
            }
            Format::Json => Ok(Read {
                pack: decode::json(text)?,
                places: Places::of_json(text),
                notes: Vec::new(),
            }),
            Format::Turtle => {
                let vocabulary = turtle::vocabulary(text)?;
                let terms::Read { pack, classes, relations, notes } =
                    terms::read(&vocabulary, id.unwrap_or("unnamed"));
                Ok(Read { pack, places: Places::of_lines(text, classes, relations), notes })
            }
        }
    }
}

/// A pack with where its parts stand.
struct Read {
    pack: Pack,
    places: Places,
    /// What was left out or guessed.
    notes: Vec<String>,
}
