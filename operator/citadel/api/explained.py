"""What each phase, status and reason means: the tables of docs/reference.

A reason without a line here is refused when they are generated.
"""

from collections.abc import Mapping
from types import MappingProxyType

PHASES: Mapping[str, str] = MappingProxyType(
    {
        "Pending": "Not begun; the reason says what is waited for.",
        "Running": "Steps run, or are about to, or a model is asked.",
        "Waiting": "Nothing runs: it waits for a time, a signal, an approval, another Execution or room.",
        "Suspended": "`spec.suspend` holds it: nothing new starts.",
        "Succeeded": "Every step succeeded or was skipped, and the outputs are there.",
        "Failed": "A step failed for good, or it could not begin.",
        "Cancelled": "Somebody ended it.",
        "TimedOut": "It took longer than the `timeout` of its Workflow.",
    }
)

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "Pending": "Waits for other steps.",
        "Ready": "Waits for a sandbox.",
        "Running": "In a sandbox; or steps of this group or loop are.",
        "Waiting": "Waits for a time, a signal, a decision, another Execution or a model.",
        "BackingOff": "Between two attempts.",
        "Succeeded": "It has an output.",
        "Failed": "It has an error, and no further attempt.",
        "Skipped": "It was not to run; the reason says why.",
        "Cancelled": "It was ended with its Execution.",
    }
)

#: By what they are reasons of.
REASONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "An Execution, a definition": {
            "Accepted": "It is in the journal, and no step has begun.",
            "Running": "Steps run.",
            "Completed": "Its end was reached in the ordinary way.",
            "Valid": "The definition can be used.",
            "InvalidSpec": "The definition is wrong; only an edit helps. The message says where.",
            "InvalidInputs": "The inputs do not fit what the Workflow declares.",
            "WorkflowNotFound": "There is no Workflow of this name; fails after ten seconds.",
            "RevisionNotFound": "No execution that the journal keeps ran by the revision that it names.",
            "CannotRerun": "The Execution that `rerunOf` names cannot be run again; the message says why.",
            "RuntimeNotFound": "A step names a Runtime that there is neither here nor among the shared ones.",
            "CodeNotFound": "The ConfigMap that `codeFrom` names, or its key, does not exist.",
            "PolicyDenied": "An ExecutionPolicy does not allow what a step needs.",
            "InstallingPackages": "The packages of a Runtime are being installed.",
            "PackagesFailed": "They could not be installed; the message says which.",
            "JournalLost": "The journal does not know this Execution, which had begun. It never runs again.",
            "JournalCorrupt": "What the journal holds of it cannot be read.",
            "CancelRequested": "`spec.stop: Cancel`: what runs has its grace period.",
            "Cancelled": "It was cancelled.",
            "Terminated": "It was ended at once.",
            "Deleted": "The object was deleted while it ran.",
            "Suspended": "`spec.suspend` is true.",
            "Compensating": "What has completed is being undone.",
            "Finalizing": "The steps of `finally` run.",
            "DeadlineExceeded": "The Workflow's `timeout` is over.",
            "ConcurrencyLimit": "As many of its concurrency group run as may.",
            "PendingTimeout": "It did not begin within `pendingTimeout`.",
            "CompensationFailed": "A compensation failed for good; the message names what remains.",
        },
        "A step that waits": {
            "WaitingForTime": "For the time that `wait` names.",
            "WaitingForSignal": "For the signal that `wait` names.",
            "WaitingForApproval": "For a decision on its Approval.",
            "WaitingForExecution": "For the Execution that it made.",
            "WaitingForModel": "For the answer of a Model.",
            "WaitingForTool": "For the answer of a Tool.",
        },
        "Waiting for a sandbox": {
            "Unschedulable": "No node has room for it.",
            "SandboxLimit": "As many sandboxes live as the installation allows.",
            "ImagePullFailed": "Its image cannot be pulled.",
            "NotIsolated": "Isolation is required, and was not proven.",
        },
        "The condition NetworkIsolated": {
            "Proven": "Every sandbox found that nothing forbidden answers.",
            "ForbiddenAnswered": "A sandbox reached what it must not.",
            "NotProven": "Not every sandbox could find out.",
        },
        "A Runtime": {
            "PoolDegraded": "Members of its warm pool cannot start.",
        },
        "An Agent, a Tool": {
            "NotPinned": "The functions of an MCP server are not pinned; the message has their digest.",
            "SchemaChanged": "They are not those that were pinned any more.",
            "Incompatible": "Something that it needs has another version; the message says which.",
        },
        "The condition Decided of an Approval": {
            "InvalidForm": "A form that does not fit its schema does not count: it is asked for again.",
        },
        "A step that need not run": {
            "Recalled": "A rerun took over what the execution before it has recorded.",
            "Cached": "It has a `cache`, and an earlier execution gave its output on the same inputs.",
            "CacheMiss": "It has a `cache`, but no output was known for these inputs: it ran.",
        },
        "A skipped step": {
            "ConditionFalse": "Its `when` is false, or no case of a `switch` holds.",
            "DependencySkipped": "It reads the output of a step that has none.",
            "ExecutionFailed": "Another step had failed before it began.",
        },
        "A failed attempt or step": {
            "Error": "The code raised, or the process ended with another code than 0.",
            "ExpressionError": "An expression could not be evaluated.",
            "Timeout": "It took longer than `timeout`; its processes were killed.",
            "OOMKilled": "It took more memory than its limit.",
            "Evicted": "The node pushed its sandbox out.",
            "SandboxLost": "Its sandbox went away after the code had begun.",
            "SandboxStartFailed": "Its sandbox did not start.",
            "InvalidCode": "The code does not compile, or has no entry point.",
            "InvalidOutput": "The output is no JSON, or does not fit its schema.",
            "OutputTooLarge": "The output is larger than 1 MiB.",
            "ArtifactTooLarge": "An artifact is larger than may be kept.",
            "ConfigMapNotFound": "A ConfigMap or key of `valueFrom` does not exist.",
            "SecretNotFound": "A Secret or key of `valueFrom` does not exist.",
            "SecretForbidden": "Nobody has granted the Secret to Citadel; the message has the commands.",
            "Rejected": "The approval was refused.",
            "MaxIterations": "A `repeat` reached its `max` before its `until`.",
            "ItemsFailed": "Items of a `forEach` failed.",
            "ChildFailed": "The Execution that it made did not succeed.",
            "ModelNotFound": "Its Model, or a fallback of it, does not exist or cannot be understood.",
            "ModelError": "The provider refused the call; asking again would change nothing.",
            "ModelUnavailable": "The provider did not answer, nor did any fallback.",
            "RateLimited": "The provider, or the Model's `rateLimit`, let no call through in time.",
            "BudgetExceeded": "The call could have gone beyond a budget; the message has it. Not retried.",
            "AgentNotFound": "Its Agent does not exist or cannot be understood.",
            "ToolNotFound": "Its Tool does not exist or cannot be understood.",
            "ToolRefused": "The arguments fit neither parameters nor constraints, or nobody approved it.",
            "ToolNotAllowed": "The agent called what is none of its tools.",
            "ToolLimitExceeded": "The agent called a tool, or tools in all, more often than it may.",
            "ToolFailed": "The tool answered with an error; calling it again would change nothing.",
            "ToolUnavailable": "The tool did not answer.",
            "TurnLimitExceeded": "The agent came to no end within `limits.turns`.",
            "ReplayMismatch": "A call is not in the recording; the message names it.",
            "HostNotAllowed": "The Model's credential may not be sent to its endpoint.",
        },
    }
)
