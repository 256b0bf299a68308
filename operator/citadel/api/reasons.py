"""The closed vocabulary of phases, conditions and reasons. Reasons are API: they are added, never renamed."""

from enum import StrEnum


class Phase(StrEnum):
    """Derived summary of an Execution, for people."""

    PENDING = "Pending"
    RUNNING = "Running"
    WAITING = "Waiting"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    TIMED_OUT = "TimedOut"

    @property
    def terminal(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.TIMED_OUT)


class StepStatus(StrEnum):
    """Where a step stands; what expressions see as `steps.<name>.status`."""

    PENDING = "Pending"
    READY = "Ready"
    RUNNING = "Running"
    BACKING_OFF = "BackingOff"
    WAITING = "Waiting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"

    @property
    def terminal(self) -> bool:
        return self in (StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED)


class Reason(StrEnum):
    """Why a condition, an attempt or a step is as it is."""

    # executions and definitions
    ACCEPTED = "Accepted"
    RUNNING = "Running"
    COMPLETED = "Completed"
    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    INVALID_INPUTS = "InvalidInputs"
    WORKFLOW_NOT_FOUND = "WorkflowNotFound"
    REVISION_NOT_FOUND = "RevisionNotFound"
    CANNOT_RERUN = "CannotRerun"
    RUNTIME_NOT_FOUND = "RuntimeNotFound"
    CODE_NOT_FOUND = "CodeNotFound"
    POLICY_DENIED = "PolicyDenied"
    INSTALLING_PACKAGES = "InstallingPackages"
    PACKAGES_FAILED = "PackagesFailed"
    JOURNAL_LOST = "JournalLost"
    JOURNAL_CORRUPT = "JournalCorrupt"
    CANCEL_REQUESTED = "CancelRequested"
    CANCELLED = "Cancelled"
    TERMINATED = "Terminated"
    DELETED = "Deleted"
    SUSPENDED = "Suspended"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    # waiting for room
    UNSCHEDULABLE = "Unschedulable"
    SANDBOX_LIMIT = "SandboxLimit"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    NOT_ISOLATED = "NotIsolated"
    CONCURRENCY_LIMIT = "ConcurrencyLimit"
    PENDING_TIMEOUT = "PendingTimeout"
    # after the verdict
    COMPENSATING = "Compensating"
    FINALIZING = "Finalizing"
    # waiting for what comes from outside
    WAITING_FOR_TIME = "WaitingForTime"
    WAITING_FOR_SIGNAL = "WaitingForSignal"
    WAITING_FOR_APPROVAL = "WaitingForApproval"
    WAITING_FOR_EXECUTION = "WaitingForExecution"
    WAITING_FOR_MODEL = "WaitingForModel"
    WAITING_FOR_TOOL = "WaitingForTool"
    # what sandboxes found of the network
    PROVEN = "Proven"
    FORBIDDEN_ANSWERED = "ForbiddenAnswered"
    NOT_PROVEN = "NotProven"
    # warm pools
    POOL_DEGRADED = "PoolDegraded"
    # steps that need not run
    RECALLED = "Recalled"
    CACHED = "Cached"
    CACHE_MISS = "CacheMiss"
    # skipped steps
    CONDITION_FALSE = "ConditionFalse"
    DEPENDENCY_SKIPPED = "DependencySkipped"
    EXECUTION_FAILED = "ExecutionFailed"
    # failed steps
    REJECTED = "Rejected"
    MAX_ITERATIONS = "MaxIterations"
    CHILD_FAILED = "ChildFailed"
    ITEMS_FAILED = "ItemsFailed"
    COMPENSATION_FAILED = "CompensationFailed"
    OUTPUT_TOO_LARGE = "OutputTooLarge"
    # approvals
    INVALID_FORM = "InvalidForm"
    # failed attempts
    ERROR = "Error"
    EXPRESSION_ERROR = "ExpressionError"
    TIMEOUT = "Timeout"
    OOM_KILLED = "OOMKilled"
    EVICTED = "Evicted"
    SANDBOX_LOST = "SandboxLost"
    SANDBOX_START_FAILED = "SandboxStartFailed"
    INVALID_CODE = "InvalidCode"
    INVALID_OUTPUT = "InvalidOutput"
    ARTIFACT_TOO_LARGE = "ArtifactTooLarge"
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
    SECRET_FORBIDDEN = "SecretForbidden"  # noqa: S105
    # models
    MODEL_NOT_FOUND = "ModelNotFound"
    AGENT_NOT_FOUND = "AgentNotFound"
    TOOL_NOT_FOUND = "ToolNotFound"
    MODEL_ERROR = "ModelError"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    RATE_LIMITED = "RateLimited"
    BUDGET_EXCEEDED = "BudgetExceeded"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    # agents and tools
    TOOL_REFUSED = "ToolRefused"
    TOOL_NOT_ALLOWED = "ToolNotAllowed"
    TOOL_LIMIT_EXCEEDED = "ToolLimitExceeded"
    TOOL_FAILED = "ToolFailed"
    TOOL_UNAVAILABLE = "ToolUnavailable"
    TURN_LIMIT_EXCEEDED = "TurnLimitExceeded"
    NOT_PINNED = "NotPinned"
    SCHEMA_CHANGED = "SchemaChanged"
    INCOMPATIBLE = "Incompatible"
    REPLAY_MISMATCH = "ReplayMismatch"


class ConditionType(StrEnum):
    READY = "Ready"
    STALLED = "Stalled"
    SUCCEEDED = "Succeeded"
    FINISHED = "Finished"
    RECONCILING = "Reconciling"
    NETWORK_ISOLATED = "NetworkIsolated"
    DECIDED = "Decided"
