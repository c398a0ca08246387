//! Runs every scene against every implementation, several at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
    thread,
    time::Instant,
};

use anyhow::Result;

use super::{
    bench::Bench,
    feature::{Feature, Outcome},
    limits,
    programs::Programs,
    scenes::{SCENES, Scene},
    subject::Implementation,
};
use crate::lab::requirements::Binaries;

/// Scenes wait most of the time; more than this at once would wait for the processor.
const AT_ONCE: usize = 6;

/// What came out, by row and column.
pub type Matrix = BTreeMap<(Feature, Implementation), Outcome>;

/// Runs it all. `only`: the scenes whose name it contains, to look into one.
pub fn run(binaries: &Binaries, programs: &Programs, only: Option<&str>) -> Matrix {
    let wanted = |scene: &Scene, kind: Implementation| {
        let name = format!("{}-{}", scene.name, kind.word());
        only.is_none_or(|only| name.contains(only))
    };
    let queue: VecDeque<(&Scene, Implementation)> = SCENES
        .iter()
        .flat_map(|scene| Implementation::ALL.map(|kind| (scene, kind)))
        .filter(|(scene, kind)| wanted(scene, *kind))
        .collect();
    let queue = Mutex::new(queue);
    let matrix = Mutex::new(Matrix::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((scene, kind)) = pop(&queue) {
                    let began = Instant::now();
                    let rows = play(scene, kind, binaries, programs);
                    println!(
                        "{} {kind}: {:.1} s",
                        scene.name,
                        began.elapsed().as_secs_f64()
                    );
                    let mut matrix = lock(&matrix);
                    for (feature, outcome) in rows {
                        if let Outcome::Failed(why) = &outcome {
                            println!("  FAIL {kind}: {}: {why}", feature.what());
                        }
                        matrix.insert((feature, kind), outcome);
                    }
                }
            });
        }
    });
    matrix
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn pop<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    lock(queue).pop_front()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Every row of a scene: what it filled in, what is known anyway, and its failure for the rest.
fn play(
    scene: &Scene,
    kind: Implementation,
    binaries: &Binaries,
    programs: &Programs,
) -> Vec<(Feature, Outcome)> {
    let known = |feature: &Feature| limits::known(*feature, kind, programs.in_a_root());
    if scene
        .features
        .iter()
        .all(|feature| known(feature).is_some())
    {
        let rows = scene.features.iter();
        return rows.filter_map(|row| Some((*row, known(row)?))).collect();
    }
    let mut played = Vec::new();
    let ended: Result<()> =
        Bench::new(scene.name, kind, binaries, programs).and_then(|mut bench| {
            let ended = (scene.play)(&mut bench);
            played = std::mem::take(&mut bench.rows);
            ended
        });
    let why = match ended {
        Ok(()) => "the scene left this row out".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    for feature in scene.features {
        if !played.iter().any(|(row, _)| row == feature) {
            let outcome = known(feature).unwrap_or_else(|| Outcome::Failed(why.clone()));
            played.push((*feature, outcome));
        }
    }
    played
}
