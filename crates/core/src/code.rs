//! Our own stable error codes. Each has a page in `docs/errors/`.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $title:literal;)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $number)] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is shown, e.g. `BO0012`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $number,)* }
            }

            /// A few words that name the condition.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// Something failed inside Backout.
    Internal = "BO0001", "internal fault";
    /// The request is malformed.
    BadRequest = "BO0002", "malformed request";
    /// The signature, key or token is not accepted.
    Unauthenticated = "BO0003", "not authenticated";
    /// The policy does not allow it.
    Denied = "BO0004", "not allowed by policy";
    /// Too many calls in a second.
    Throttled = "BO0005", "too many requests";
    /// No such resource.
    NotFound = "BO0006", "no such resource";
    /// The name is taken.
    NameTaken = "BO0007", "name already in use";
    /// Another job holds the resource.
    ResourceBusy = "BO0008", "another job holds the resource";
    /// The same Idempotency-Key came with another request.
    IdempotencyMismatch = "BO0009", "idempotency key used for another request";
    /// The store cannot be reached or is damaged.
    Store = "BO0010", "store not available";
    /// A job was cancelled on request.
    Cancelled = "BO0011", "cancelled on request";
    /// A worker lost its lease.
    StaleFence = "BO0012", "lease lost to another worker";
    /// The undo of a step failed.
    UndoFailed = "BO0013", "undo failed, job held";
    /// The job is not in a state that allows this.
    JobState = "BO0014", "job is not in a state for this";
    /// There is nothing to undo, or it is gone.
    NotReversible = "BO0015", "job cannot be undone";
    /// The disk file is not there.
    DiskMissing = "BO0020", "disk file missing";
    /// A process holds the disk open.
    DiskInUse = "BO0021", "disk held open by a process";
    /// The disk has another size than the snapshot.
    DiskSizeChanged = "BO0022", "disk size changed since the snapshot";
    /// Not enough free space.
    NoSpace = "BO0023", "not enough free space";
    /// The driver cannot work here.
    DriverUnsupported = "BO0024", "driver not supported here";
    /// A file operation on the disk failed.
    DiskIo = "BO0025", "disk operation failed";
    /// The disk is not in the form its driver expects.
    DiskFormat = "BO0026", "disk image format not as expected";
    /// The snapshot belongs to another disk.
    WrongDisk = "BO0027", "snapshot is of another disk";
    /// The snapshot is not usable now.
    SnapshotState = "BO0028", "snapshot not in a usable state";
    /// The server is not in a state that allows this.
    ServerState = "BO0029", "server not in a state for this";
    /// The user's start or stop command failed.
    PowerCommand = "BO0030", "start or stop command failed";
    /// The copy will not be of one instant.
    NotConstantTime = "BO0031", "time grows with the size of the disk";
    /// A running server will be stopped by force.
    ForcedStop = "BO0032", "running server will be stopped";
    /// The overlay chain is as long as it may be.
    ChainFull = "BO0034", "too many layers";
    /// The disk is on another host than the process that was asked.
    Elsewhere = "BO0035", "disk on another host";
    /// The fault switch was told to let this fail.
    FaultInjected = "BO0036", "fault asked for by the fault switch";
    /// The server was started without the fault switch.
    FaultsOff = "BO0037", "fault switch is off";
    /// A machine did not come up.
    MachineStart = "BO0040", "machine failed to start";
    /// The guest did not act on the power button, or did not let go of a device.
    GuestDisobeyed = "BO0041", "guest did not obey";
    /// QEMU is not installed, or does not run.
    QemuMissing = "BO0042", "QEMU not available";
    /// The machine's process is there, but its monitor does not answer.
    MachineSilent = "BO0043", "machine does not answer";
    /// A managed process did not start, or its supervisor is not there for it.
    ProcessStart = "BO0044", "managed process failed to start";
    /// The disk is not in a state that allows this, or not of the right kind.
    DiskState = "BO0050", "disk not in a state for this";
    /// The image is not usable now.
    BlueprintState = "BO0051", "image not in a usable state";
    /// There are as many as there may be.
    Quota = "BO0052", "quota reached";
    /// The database server cannot be reached, or does not let us in.
    DatabaseUnreachable = "BO0060", "database server does not answer";
    /// The database server refused a statement.
    DatabaseRefused = "BO0061", "database server refused a statement";
    /// A setting of the database server stands in the way.
    DatabaseSettings = "BO0062", "a database setting stands in the way";
    /// History does not reach there.
    HistoryGap = "BO0063", "history does not reach there";
    /// History is damaged.
    HistoryDamaged = "BO0064", "history is damaged";
    /// History holds something that cannot be taken back row by row.
    HistoryUnsupported = "BO0065", "history holds what cannot be taken back";
    /// Reading or writing the archive failed.
    ArchiveIo = "BO0066", "archive operation failed";
    /// The table cannot be taken back this way.
    TableUnsupported = "BO0067", "table cannot be taken back this way";
    /// The name the result should get is taken.
    TargetExists = "BO0068", "target name is taken";
    /// The database instance is not in a state for this.
    DatabaseState = "BO0069", "database not in a state for this";
    /// The result is not what history says it must be.
    ProofFailed = "BO0070", "result is not as computed";
    /// Transactions cross to tables that are not chosen.
    TornTransaction = "BO0071", "transactions cross to what is not chosen";
    /// The backup is not usable now.
    BackupState = "BO0072", "backup not in a usable state";
    /// The backup tool failed.
    BackupTool = "BO0073", "backup tool failed";
    /// Rows were changed since.
    RowsChanged = "BO0074", "rows changed since";
    /// A local time that was there twice, or never.
    LocalTime = "BO0075", "local time is not one instant";
    /// A package is not safe to unpack, too large, or no package.
    PackageRefused = "BO0080", "package refused";
    /// A package cannot be had from where it should be.
    PackageUnreachable = "BO0081", "package cannot be fetched";
    /// A package is not kept here, or not whole any more.
    PackageMissing = "BO0082", "package not kept";
    /// Limits of processor and memory cannot be enforced here.
    LimitsUnavailable = "BO0083", "limits cannot be enforced here";
    /// The instance is not in a state that allows this.
    InstanceState = "BO0084", "instance not in a state for this";
    /// A file of an instance or a package cannot be used.
    InstanceIo = "BO0085", "file of an instance or package not usable";
    /// The container engine does not answer.
    EngineUnreachable = "BO0086", "container engine not reachable";
    /// The container engine failed.
    EngineFailed = "BO0087", "container engine failed";
    /// The engine has not got the image.
    ImageMissing = "BO0088", "image not there";
    /// The application is not in a state for this.
    ApplicationState = "BO0090", "application not in a state for this";
    /// The version cannot be gone back to.
    VersionState = "BO0091", "version cannot be gone back to";
    /// No replica need stay ready while they are changed.
    Interruption = "BO0092", "service will be interrupted";
    /// A plan is not quite what one may expect of what was asked.
    PlanAdjusted = "BO0093", "plan has something to know";
    /// Something is not as it was after a rollback.
    NotBroughtBack = "BO0094", "not brought back";
    /// The account owes money.
    InDebt = "BO0100", "account in debt";
    /// The service takes no orders.
    Upgrading = "BO0101", "service is being upgraded";
    /// What a release is started with is not named, or not on this host.
    ComponentMissing = "BO0102", "component missing";
    /// Two things of a release are to be at one path.
    MountConflict = "BO0103", "paths of a release conflict";
    /// A batch failed, and the order waits for a person.
    OrderStuck = "BO0109", "a batch failed, order stuck";
    /// The data engine is not in a state for this.
    EngineState = "BO0110", "data engine not in a state for this";
    /// The kind of the data engine has no versions that could be changed.
    EngineFixed = "BO0111", "engine kind has one version only";
    /// The image version is not online.
    ImageState = "BO0112", "image version not online";
    /// A catalogue entry is damaged or contradicts itself or its parent.
    ImageDamaged = "BO0113", "image entry damaged or contradictory";
    /// The image version is for another kind of engine.
    ImageMismatch = "BO0114", "image version is for another kind of engine";
    /// A name or an id means several things.
    Ambiguous = "BO0115", "name means several things";
    /// A parameter is not one of the version's, or has a value that it does not take.
    ParameterRefused = "BO0116", "parameter not accepted by the version";
    /// What is recorded of a data engine is damaged.
    EngineRecordDamaged = "BO0117", "record of an engine damaged";
    /// There is nothing that the image of a data engine could be rolled back to.
    NoWayBack = "BO0118", "image cannot be rolled back";
    /// An instance of a data engine did not come up, or does not answer its health query.
    EngineUnhealthy = "BO0119", "data engine did not come up";
    /// What an image version needs is not on this host.
    EngineUnavailable = "BO0120", "what the engine needs is missing";
    /// Parameters do not stay as they are when the version changes.
    ParametersChanged = "BO0121", "parameters change with the version";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
