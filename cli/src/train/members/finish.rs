//! What becomes of trained members: a model, how good it is, its report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use travertine::data::Dataset;
use travertine::{Error, Matrix, Model, Network, Result, Scalar};

use super::{Course, Judged, MEMBERS, Member, OfPart};
use crate::message::{counted, note, warn};
use crate::output::history::EpochRecord;
use crate::output::progress::figures;
use crate::output::report::{self, Story};
use crate::output::{Output, rounded};
use crate::train::TrainResult;
use crate::train::baseline::{Constant, answers, linear_answers};
use crate::train::data::in_order;
use crate::train::held_out::{self, Judgement};
use crate::train::record::model_info;

impl<T: Scalar> Course<'_, T> {
    /// Saves the model and its report, and prints the result.
    pub(super) fn finish(
        self,
        members: Vec<Member<T>>,
        judged: &Judged<T>,
        seconds: f64,
        out: &mut Output,
    ) -> Result<ExitCode> {
        let kept: Vec<EpochRecord> = members.iter().map(|member| member.kept.clone()).collect();
        let (networks, records): (Vec<_>, Vec<_>) =
            members.into_iter().map(|member| (member.network, member.records)).unzip();
        let Course { args, recipe, data, output, files, .. } = &self;
        let samples = (data.train.samples(), recipe.epochs() as u64);
        let mut info = model_info(recipe, &args.data.source, data, output, samples);
        info.training.push(("members".to_owned(), MEMBERS.to_string()));
        let model = Model::ensemble(networks, info)?;
        if files.model.exists() {
            note(&format!("the model replaces {}", files.model.display()));
        }
        model.save(&files.model)?;
        let of_all = match &judged.unseen {
            Some(unseen) => {
                let report = model.evaluate_standardized(unseen)?.report;
                (report.loss, report.accuracy)
            }
            None => mean(&kept),
        };
        let saved = |_: &Error| note(&format!("the model is saved as {}", files.model.display()));
        let (judgement, report) =
            self.judge_and_report(&model, judged, &records).inspect_err(saved)?;
        let told = (judgement.as_ref(), judged.unseen.as_ref(), report.as_deref());
        self.print(&model, (&kept, of_all, seconds), told, out)?;
        judgement.iter().flat_map(Judgement::warnings).for_each(|warning| warn(&warning));
        Ok(ExitCode::SUCCESS)
    }

    /// How good the model is, for tables, and the path of the report, if there is one.
    fn judge_and_report(
        &self,
        model: &Model<T>,
        judged: &Judged<T>,
        records: &[Vec<EpochRecord>],
    ) -> Result<(Option<Judgement>, Option<PathBuf>)> {
        let Course { args, data, output, truth, .. } = self;
        let constant = Constant::of(truth, output.loss)?.filter(|_| data.encoder.is_some());
        if constant.is_none() && judged.reported.is_none() {
            return Ok((None, None));
        }
        let ours = match &data.test {
            Some(test) => answers(&model.predict_standardized(test)?),
            None => {
                self.of_parts(model, &|network, test, _| self.answers_of(network, model, test))?
            }
        };
        let report = args.history.report.as_deref().zip(judged.reported.as_ref());
        let report = report.map(|(folder, data)| {
            let parts = judged.unseen.is_none().then_some(MEMBERS);
            let title = args.data.source.short_name();
            let (predicted, failure) = (&ours, None);
            let held_out = true;
            report::write(
                folder,
                &Story { model, data, predicted, held_out, parts, records, title, failure },
            )
        });
        let report = report.transpose()?;
        let Some(constant) = constant else { return Ok((None, report)) };
        let linear = match &data.test {
            Some(test) => linear_answers((&data.train, test), output, model)?,
            None => Some(self.of_parts(model, &|_, test, train| {
                // What diverges is not known.
                let unknown = || vec![f64::NAN; test.samples() * test.outputs()];
                Ok(linear_answers((train, test), output, model)?.unwrap_or_else(unknown))
            })?),
        };
        let targets = judged.unseen.as_ref().map_or(truth, Dataset::targets);
        let how = (args.seed, model.gives_probabilities());
        let judgement = held_out::judge(targets, (&ours, linear.as_deref()), &constant, how)?;
        Ok((judgement, report))
    }

    /// What a member answers.
    fn answers_of(
        &self,
        network: &Network<T>,
        model: &Model<T>,
        test: &Dataset<T>,
    ) -> Result<Vec<f64>> {
        let (inputs, samples) = (test.inputs(), test.samples());
        let x = Matrix::from_slice(&self.engine, inputs, samples, test.features())?;
        Ok(answers(&model.decode(&network.infer(x.view())?.to_vec()?)?))
    }

    /// What `of` answers for all samples, each as a part of those that its member has not seen: given the member, these, and those that
    /// it was trained on.
    fn of_parts(&self, model: &Model<T>, of: &OfPart<'_, T>) -> Result<Vec<f64>> {
        let width = self.data.train.outputs();
        let mut all = vec![f64::NAN; width * self.data.train.samples()];
        for (network, split) in model.networks().zip(&self.splits) {
            let part = self.data.part(&split.train, &split.held_out)?;
            let Some(test) = &part.test else { continue };
            let answers = of(network, test, &part.train)?;
            for (i, answer) in in_order(&split.held_out).iter().zip(answers.chunks_exact(width)) {
                all[width * i..][..width].copy_from_slice(answer);
            }
        }
        Ok(all)
    }

    fn print(
        &self,
        model: &Model<T>,
        (kept, of_all, seconds): (&[EpochRecord], (f64, Option<f64>), f64),
        (judgement, judged, report): (Option<&Judgement>, Option<&Dataset<T>>, Option<&Path>),
        out: &mut Output,
    ) -> Result<()> {
        let device = self.engine.device();
        let count = kept.len() as f64;
        let mean = |of: &dyn Fn(&EpochRecord) -> f64| kept.iter().map(of).sum::<f64>() / count;
        let accuracies: Option<Vec<f64>> = kept.iter().map(|epoch| epoch.train_accuracy).collect();
        let steps: u64 = kept.iter().map(|epoch| epoch.step).sum();
        let result = TrainResult {
            task: "train",
            members: kept.len(),
            epochs: self.recipe.epochs() as u64,
            train_loss: mean(&|epoch| epoch.train_loss),
            train_accuracy: accuracies.map(|all| all.iter().sum::<f64>() / count),
            test_loss: Some(of_all.0),
            test_accuracy: of_all.1,
            best_test_accuracy: of_all.1,
            held_out: judgement,
            seconds: rounded(seconds, 6),
            steps_per_second: rounded(steps as f64 / seconds, 1),
            parameters: model.parameters(),
            device: &device.name,
            threads: device.threads,
            seed: self.args.seed,
            model: self.files.model.display().to_string(),
            report: report.map(|path| path.display().to_string()),
        };
        let test = figures(of_all.0, of_all.1);
        let tested = match judged {
            Some(data) => {
                let samples = counted(data.samples(), "sample", "samples");
                format!("their mean on {samples} that none has seen: {test}")
            }
            None => format!(
                "each on the fifth it was not trained on: {test}; their mean is usually better"
            ),
        };
        let judgement = judgement.map_or(String::new(), |one| format!("\n{}", one.describe()));
        let report =
            result.report.as_ref().map_or(String::new(), |path| format!("\nreport {path}"));
        let text = format!(
            "{MEMBERS} networks in {seconds:.2} s; {tested}{judgement}\nsaved {} ({} parameters){report}",
            result.model, result.parameters
        );
        out.print(&result, &text)
    }
}

/// Mean loss and accuracy over the members, each on its own part.
fn mean(kept: &[EpochRecord]) -> (f64, Option<f64>) {
    let count = kept.len() as f64;
    let loss = kept.iter().filter_map(|epoch| epoch.test_loss).sum::<f64>() / count;
    let accuracies: Option<Vec<f64>> = kept.iter().map(|epoch| epoch.test_accuracy).collect();
    (loss, accuracies.map(|all| all.iter().sum::<f64>() / count))
}
