//! Skeleton.
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::lock::Guard;
use crate::model::*;
pub(crate) struct Q;
pub(crate) static QCOW2: Q = Q;
impl Driver for Q {
    fn kind(&self) -> DriverKind {
        DriverKind::Copy
    }
    fn constant_time(&self) -> bool {
        false
    }
    fn adopt(&self, _guard: &Guard, _disk: &Disk, _name: &Name) -> Result<Adopted> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn unadopt(
        &self,
        _guard: &Guard,
        _disk: &Disk,
        _name: &Name,
        _progress: &dyn Progress,
    ) -> Result<()> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn inspect(&self, _disk: &Disk) -> Result<HeadFacts> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn capture(
        &self,
        _guard: &Guard,
        _disk: &Disk,
        _name: &Name,
        _progress: &dyn Progress,
    ) -> Result<Captured> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn uncapture(&self, _guard: &Guard, _disk: &Disk, _name: &Name) -> Result<()> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn stage(
        &self,
        _guard: &Guard,
        _disk: &Disk,
        _point: &Point,
        _name: &Name,
        _progress: &dyn Progress,
    ) -> Result<Staged> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn unstage(&self, _guard: &Guard, _disk: &Disk, _name: &Name) -> Result<()> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn keep(&self, _guard: &Guard, _disk: &Disk, _name: &Name) -> Result<Kept> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn unkeep(&self, _guard: &Guard, _disk: &Disk, _name: &Name) -> Result<()> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn swap(
        &self,
        _guard: &Guard,
        _disk: &Disk,
        _staged: &Staged,
        _kept: &Kept,
    ) -> Result<Swapped> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn unswap(&self, _guard: &Guard, _disk: &Disk, _staged: &Staged, _kept: &Kept) -> Result<()> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn retire(&self, _guard: &Guard, _disk: &Disk, _point: &Point) -> Result<Retired> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn unretire(&self, _guard: &Guard, _disk: &Disk, _point: &Point) -> Result<()> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn purge(
        &self,
        _guard: &Guard,
        _disk: &Disk,
        _point: &Point,
        _live: &[Point],
    ) -> Result<Purged> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn verify_point(&self, _disk: &Disk, _point: &Point) -> Result<PointFacts> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
    fn space_needed(&self, _disk: &Disk, _point: Option<&Point>) -> Result<u64> {
        Err(Error::Unsupported {
            path: "".into(),
            why: "not built yet".to_owned(),
        })
    }
}
