//! Flamegraphs as SVG, of one profile or of the difference between two.

use inferno::{differential, flamegraph as inferno_flame};

use crate::Folded;

/// What stands above a flamegraph.
#[derive(Debug, Clone)]
pub struct Title {
    /// Whose it is.
    pub title: String,
    /// What it rests on: the number of samples and how they were taken. Never empty, so that no
    /// graph pretends to more than it knows.
    pub rests_on: String,
    /// What is counted: `samples`, `bytes`.
    pub unit: String,
}

/// Why no graph was drawn.
#[derive(Debug, thiserror::Error)]
pub enum FlameError {
    /// There is nothing to draw.
    #[error(
        "there is no sample to draw: the process used no CPU in that time, or could not be \
        seen"
    )]
    Empty,
    /// The drawing failed.
    #[error("the flamegraph of {title:?} could not be drawn: {error}")]
    Draw {
        /// Whose.
        title: String,
        /// What went wrong.
        error: String,
    },
}

fn options(title: &Title) -> inferno_flame::Options<'static> {
    let mut options = inferno_flame::Options::default();
    options.title.clone_from(&title.title);
    options.subtitle = Some(title.rests_on.clone());
    options.count_name.clone_from(&title.unit);
    // A tower of single samples says nothing and pushes the rest off the screen.
    options.min_width = 0.1;
    // The same picture for the same profile, whoever draws it.
    options.deterministic = true;
    options
}

fn draw(
    title: &Title,
    mut options: inferno_flame::Options<'_>,
    folded: &str,
) -> Result<String, FlameError> {
    let failed = |error: String| FlameError::Draw { title: title.title.clone(), error };
    let mut svg = Vec::new();
    inferno_flame::from_lines(&mut options, folded.lines(), &mut svg)
        .map_err(|error| failed(error.to_string()))?;
    String::from_utf8(svg).map_err(|error| failed(error.to_string()))
}

/// Draws a profile.
///
/// # Errors
/// [`FlameError::Empty`] for one without samples.
pub fn flamegraph(folded: &Folded, title: &Title) -> Result<String, FlameError> {
    if folded.is_empty() {
        return Err(FlameError::Empty);
    }
    draw(title, options(title), &folded.to_string())
}

/// Draws `after` in colours that say what became of `before`: red frames take more of the whole
/// than they did, blue ones less. The counts of `before` are scaled to the total of `after`, so two
/// profiles of different length can be compared (Gregg's differential flame graphs, normalised).
///
/// # Errors
/// [`FlameError::Empty`] if one of the two has no samples.
pub fn difference(before: &Folded, after: &Folded, title: &Title) -> Result<String, FlameError> {
    if before.is_empty() || after.is_empty() {
        return Err(FlameError::Empty);
    }
    let failed = |error: std::io::Error| FlameError::Draw {
        title: title.title.clone(),
        error: error.to_string(),
    };
    let how = differential::Options { normalize: true, ..Default::default() };
    let (before, after) = (before.to_string(), after.to_string());
    let mut lines = Vec::new();
    differential::from_readers(how, before.as_bytes(), after.as_bytes(), &mut lines)
        .map_err(failed)?;
    draw(title, options(title), &String::from_utf8_lossy(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title() -> Title {
        Title {
            title: "node-1 & friends".to_owned(),
            rests_on: "5 samples at 99 Hz".to_owned(),
            unit: "samples".to_owned(),
        }
    }

    #[test]
    fn a_graph_says_what_it_rests_on_and_names_every_frame() {
        let folded = Folded::parse("main;serve;read 3\nmain;serve;<a>::write 2\n").unwrap();
        let svg = flamegraph(&folded, &title()).unwrap();
        for wanted in ["node-1 &amp; friends", "5 samples at 99 Hz", "serve (5 samples", "::write"]
        {
            assert!(svg.contains(wanted), "no {wanted:?}");
        }
        assert!(!svg.contains("<a>::write"), "names are escaped");
        assert_eq!(svg, flamegraph(&folded, &title()).unwrap(), "the same each time");
        assert!(matches!(flamegraph(&Folded::default(), &title()), Err(FlameError::Empty)));
    }

    #[test]
    fn what_grew_is_red_and_what_shrank_is_blue_whatever_the_lengths() {
        let before = Folded::parse("main;leak 10\nmain;work 90\n").unwrap();
        let same = Folded::parse("main;leak 100\nmain;work 900\n").unwrap();
        let colour = |svg: &str, frame: &str| {
            let at = svg.find(&format!("<title>{frame} (")).unwrap();
            let fill = svg[at..].find("rgb(").unwrap() + at;
            let end = svg[fill..].find(')').unwrap() + fill;
            let rgb: Vec<u8> =
                svg[fill + 4..end].split(',').map(|part| part.parse().unwrap()).collect();
            (rgb[0], rgb[2])
        };
        let unchanged = difference(&before, &same, &title()).unwrap();
        assert_eq!(colour(&unchanged, "leak").0, colour(&unchanged, "leak").1, "ten times as long");
        let grown = Folded::parse("main;leak 50\nmain;work 50\n").unwrap();
        let svg = difference(&before, &grown, &title()).unwrap();
        let ((red, blue), work) = (colour(&svg, "leak"), colour(&svg, "work"));
        assert!(red > blue, "leak takes five times its share");
        assert!(work.1 > work.0, "work takes less");
        assert!(difference(&Folded::default(), &grown, &title()).is_err());
    }
}
