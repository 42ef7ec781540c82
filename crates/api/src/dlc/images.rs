//! Versions of images: what there is, what an engine may be moved to, and the
//! way back.

use backout_engines::catalogue::{Image, Level};
use backout_engines::model::Kind;
use backout_engines::service::{ImageFilter, ImageOrder, Listed};
use backout_engines::{Damage, Refusal};
use backout_wire::types::dlc as wire;

use super::asked::{Ask, filled};
use super::{Dlc, codes, words};
use crate::front::Refused;

impl Dlc {
    pub(super) async fn check_data_engine_image_can_be_rollback(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CheckDataEngineImageCanBeRollbackResponse, Refused> {
        let asked: wire::CheckDataEngineImageCanBeRollbackRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        let check = self.engines.check_rollback(ask.owner(), id).await;
        let check = check.map_err(|e| ask.refused(e))?;
        // Both are always there: empty where there is nothing to take back.
        let text = |id: Option<backout_core::ids::RecordId>| id.map(|id| id.to_string());
        Ok(wire::CheckDataEngineImageCanBeRollbackResponse {
            is_rollback: check.possible,
            from_record_id: text(check.from).unwrap_or_default(),
            to_record_id: text(check.to).unwrap_or_default(),
        })
    }

    pub(super) async fn check_data_engine_image_can_be_upgrade(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CheckDataEngineImageCanBeUpgradeResponse, Refused> {
        let asked: wire::CheckDataEngineImageCanBeUpgradeRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        let check = self.engines.check_upgrade(ask.owner(), id).await;
        let check = check.map_err(|e| ask.refused(e))?;
        Ok(wire::CheckDataEngineImageCanBeUpgradeResponse {
            is_upgrade: check.possible,
            child_image_version_id: check.child.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    pub(super) async fn switch_data_engine_image(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::SwitchDataEngineImageResponse, Refused> {
        let asked: wire::SwitchDataEngineImageRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        let image = ask.image("NewImageVersionId", &asked.new_image_version_id)?;
        let done = self.engines.switch(&ask.caller(), id, image).await;
        ask.did([&done.map_err(|e| ask.refused(e))?]);
        Ok(wire::SwitchDataEngineImageResponse {})
    }

    pub(super) async fn rollback_data_engine_image(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RollbackDataEngineImageResponse, Refused> {
        let asked: wire::RollbackDataEngineImageRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        // The vendor's own sample sends `"ToRecordId": ""`.
        let from = filled(asked.from_record_id.as_deref());
        let to = filled(asked.to_record_id.as_deref());
        let done = self.engines.rollback(&ask.caller(), id, from, to).await;
        ask.did([&done.map_err(|e| ask.refused(e))?]);
        Ok(wire::RollbackDataEngineImageResponse {})
    }

    pub(super) async fn upgrade_data_engine_image(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::UpgradeDataEngineImageResponse, Refused> {
        let asked: wire::UpgradeDataEngineImageRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        let done = self.engines.upgrade(&ask.caller(), id).await;
        ask.did([&done.map_err(|e| ask.refused(e))?]);
        Ok(wire::UpgradeDataEngineImageResponse {})
    }

    pub(super) async fn describe_data_engine_image_versions(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDataEngineImageVersionsResponse, Refused> {
        let asked: wire::DescribeDataEngineImageVersionsRequest = ask.params()?;
        let text = ask.must("EngineType", &asked.engine_type)?;
        let kind = Kind::parse(text).ok_or_else(|| {
            ask.error(
                codes::ENGINE_TYPE,
                format!("EngineType is {text:?}, which is no kind of engine"),
            )
        })?;
        let orders = [
            ("InsertTime", ImageOrder::Inserted),
            ("UpdateTime", ImageOrder::Updated),
        ];
        let order = ask.word("Sort", asked.sort.as_deref(), &orders, ImageOrder::Inserted)?;
        let filter = ImageFilter {
            level: Some(Level::Parent),
            kind: Some(kind),
            parent: None,
        };
        let order = (order, asked.asc.unwrap_or(false));
        let listed = self.engines.images(ask.owner(), filter, order).await;
        let listed = listed.map_err(|e| ask.refused(e))?;
        let mut rows = Vec::with_capacity(listed.len());
        for one in listed {
            let own = one.owner == *ask.owner();
            match (image_of(one), own) {
                (Ok(image), _) => rows.push(version(&image)),
                // Somebody else's is not this caller's to correct.
                (Err(_), false) => {}
                (Err(e), true) => return Err(ask.refused(e)),
            }
        }
        Ok(wire::DescribeDataEngineImageVersionsResponse {
            total: rows.len() as u64,
            image_parent_versions: rows,
        })
    }

    pub(super) async fn describe_data_engine_python_spark_images(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDataEnginePythonSparkImagesResponse, Refused> {
        let asked: wire::DescribeDataEnginePythonSparkImagesRequest = ask.params()?;
        let text = ask.image("ChildImageVersionId", &asked.child_image_version_id)?;
        let child = self.version_at(ask, "ChildImageVersionId", text, Level::Child);
        let child = child.await?.id;
        let images = self.engines.python_images(ask.owner(), &child).await;
        let images = images.map_err(|e| ask.refused(e))?;
        let row = |image: Image| wire::PythonSparkImage {
            spark_image_id: image.id.to_string(),
            child_image_version_id: child.to_string(),
            spark_image_version: image.version,
            description: image.description,
            create_time: words::local_time(image.created),
            update_time: words::local_time(image.updated),
        };
        Ok(wire::DescribeDataEnginePythonSparkImagesResponse {
            python_spark_images: images.into_iter().map(row).collect(),
        })
    }

    /// The images for programs under the version that an engine runs. Which
    /// libraries are in one its entry does not say: they are all for Python.
    pub(super) async fn describe_session_image_version(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeSessionImageVersionResponse, Refused> {
        let asked: wire::DescribeSessionImageVersionRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        let framework = ask.must("FrameworkType", &asked.framework_type)?;
        let frameworks = [
            ("machine-learning", false),
            ("python", true),
            ("spark-ml", false),
        ];
        let python = ask.word_or(
            "FrameworkType",
            Some(framework),
            &frameworks,
            false,
            codes::FRAMEWORK,
        )?;
        let view = self.engines.show(ask.owner(), id).await;
        let view = view.map_err(|e| ask.refused(e))?;
        let child = view.child.and_then(|(id, _)| id.parse().ok());
        let images = match child.filter(|_| python) {
            None => Vec::new(),
            Some(child) => {
                let images = self.engines.python_images(ask.owner(), &child).await;
                images.map_err(|e| ask.refused(e))?
            }
        };
        let row = |image: Image| wire::EngineSessionImage {
            spark_image_id: Some(image.id.to_string()),
            spark_image_version: Some(image.version),
            spark_image_type: None,
            spark_image_tag: None,
        };
        Ok(wire::DescribeSessionImageVersionResponse {
            engine_session_images: Some(images.into_iter().map(row).collect()),
        })
    }

    /// A version by id or name, which must be at that level of the catalogue.
    pub(super) async fn version_at(
        &self,
        ask: Ask<'_>,
        parameter: &str,
        text: &str,
        level: Level,
    ) -> Result<Image, Refused> {
        let image = self.engines.image(ask.owner(), text).await;
        let image = image.map_err(|e| ask.refused(e))?;
        if image.level != level {
            return Err(ask.error(
                codes::IMAGE_LEVEL,
                format!(
                    "{parameter} takes a version of level {}, and {:?} is a {}",
                    level.as_str(),
                    image.version,
                    image.level.as_str()
                ),
            ));
        }
        Ok(image)
    }
}

/// A version that can be read.
fn image_of(listed: Listed) -> Result<Image, Refusal> {
    let version = listed.version;
    listed
        .image
        .map_err(|damage: Damage| Refusal::Image { version, damage })
}

fn version(image: &Image) -> wire::DataEngineImageVersion {
    wire::DataEngineImageVersion {
        image_version_id: image.id.to_string(),
        image_version: image.version.clone(),
        description: image.description.clone(),
        is_public: words::is_public(image),
        engine_type: image.kind.as_str().to_owned(),
        is_shared_engine: words::is_shared(image),
        state: image.state.number().unsigned_abs(),
        insert_time: words::local_time(image.created),
        update_time: words::local_time(image.updated),
    }
}
