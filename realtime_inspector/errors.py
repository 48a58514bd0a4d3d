"""One tree of errors; each class carries its consequence: a wire code, a safe sentence (its docstring), an HTTP status.

RealtimeError
    TokenError
        TokenMissing, TokenExpired, TokenMalformed, TokenSignatureInvalid, TokenClaimsInvalid, RoleNotAllowed, KeysUnavailable
            KeyUnknown (a TokenSignatureInvalid)
    AuthenticationMissing, Forbidden, NotFound, InvalidInput, ReasonRequired, PayloadTooLarge, MediaTypeUnsupported
        NotAdmin (a Forbidden)
        AssistantOff (a NotFound)
    AssistantFailed
    TooManyAttempts, SignInFailed, StatementRefused, StatementFailed
    MalformedFrame, UnsupportedVersion, TableNotServed
    TooManyConnections, TooManyJoins, TooManyMessages
    SourceError
        StreamEnded, SlotInUse, SlotLost
    DatabaseUnavailable, DatabaseBusy, PrivateChannelsUnsupported, ReplayFailed
    SetupError
"""

from collections.abc import Mapping
from typing import ClassVar

from realtime_inspector.model import Problem


class RealtimeError(Exception):
    """Something went wrong that the other side may be told about."""

    code: ClassVar[str] = "UnknownError"
    status: ClassVar[int] = 500
    hint: ClassVar[str] = ""

    def __init__(self, text: str = "", *, hint: str = "") -> None:
        self.text = text or (self.__doc__ or "").strip()
        self.remedy = hint or self.hint
        super().__init__(self.text)

    @property
    def more(self) -> Mapping[str, object]:
        """Further fields of the answer in HTTP."""
        return {}

    @property
    def problem(self) -> Problem:
        """The same as a value for the wire."""
        return Problem(self.code, self.text, self.remedy)


class TokenError(RealtimeError):
    """The token was refused."""

    code = "MalformedJWT"
    status = 401


class TokenMissing(TokenError):
    """API key is missing"""

    hint = "Send a JWT as the apikey query parameter or as the x-api-key header."


class TokenExpired(TokenError):
    """Token has expired"""

    code = "InvalidJWTToken"
    hint = "Refresh the session and join again."


class TokenMalformed(TokenError):
    """The token provided is not a valid JWT"""


class TokenSignatureInvalid(TokenError):
    """Failed to validate JWT signature"""

    code = "JwtSignatureError"
    hint = "Sign the token with the key that the service was configured with."


class KeyUnknown(TokenSignatureInvalid):
    """Failed to validate JWT signature"""

    hint = "Sign the token with a key that the service was configured with, and name it by `kid`."


class TokenClaimsInvalid(TokenError):
    """Fields `role` and `exp` are required in JWT"""

    code = "InvalidJWTToken"


class RoleNotAllowed(TokenError):
    """The role of this token may not be used here"""

    code = "Unauthorized"
    status = 403
    hint = "Add the role to RTI_ALLOWED_ROLES and run `realtime-inspector init` again."


class KeysUnavailable(TokenError):
    """The keys to verify this token could not be fetched"""

    code = "JwtSignerError"
    status = 503


class AuthenticationMissing(RealtimeError):
    """Missing authentication"""

    code = "MISSING_AUTHENTICATION"
    status = 401
    hint = "Send the header Authorization: Bearer ADMIN_TOKEN; `realtime-inspector token` makes one."


class Forbidden(RealtimeError):
    """Insufficient permissions"""

    code = "ACCESS_DENIED"
    status = 403


class NotAdmin(Forbidden):
    """Insufficient permissions"""


class NotFound(RealtimeError):
    """Not found"""

    code = "NOT_FOUND"
    status = 404


class AssistantOff(NotFound):
    """No assistant is configured"""

    code = "ASSISTANT_OFF"
    hint = "Set RTI_ASSISTANT_URL and RTI_ASSISTANT_MODEL to an endpoint that speaks OpenAI's chat completions."


class AssistantFailed(RealtimeError):
    """The assistant did not answer"""

    code = "ASSISTANT_FAILED"
    status = 502
    hint = "Look at RTI_ASSISTANT_URL, RTI_ASSISTANT_KEY and RTI_ASSISTANT_MODEL, or ask again."


class InvalidInput(RealtimeError):
    """The request is not valid"""

    code = "INVALID_INPUT"
    status = 400


class ReasonRequired(InvalidInput):
    """Reason is required"""

    code = "MISSING_REQUIRED_FIELD"
    hint = "Say in at least 5 characters why you look through somebody else's eyes."


class PayloadTooLarge(RealtimeError):
    """The payload is larger than allowed"""

    code = "PayloadTooLarge"
    status = 413


class MalformedFrame(RealtimeError):
    """The frame is not a message of the Realtime protocol"""

    code = "MalformedWebSocketMessage"
    status = 400


class UnsupportedVersion(RealtimeError):
    """The protocol version is not supported"""

    code = "UnsupportedVersion"
    status = 403
    hint = "Connect with vsn=1.0.0 or vsn=2.0.0."


class TooManyConnections(RealtimeError):
    """Too many connected users"""

    code = "ConnectionRateLimitReached"
    status = 429
    hint = "Close connections that are not needed, or raise RTI_CONNECTIONS."


class TooManyJoins(RealtimeError):
    """Too many joins per second"""

    code = "ClientJoinRateLimitReached"
    status = 429
    hint = "Wait a moment before joining again, or raise RTI_JOINS_PER_SECOND."


class TooManyMessages(RealtimeError):
    """Too many messages per second"""

    code = "MessagePerSecondRateLimitReached"
    status = 429
    hint = "Send less often, put several messages into one, or raise RTI_MESSAGES_PER_SECOND."


class TableNotServed(RealtimeError):
    """Changes of this table are not served"""

    code = "TableNotServed"
    status = 400
    hint = "Is the table in the publication? `alter publication supabase_realtime add table …` serves it at once."


class TooManyAttempts(RealtimeError):
    """Too many attempts"""

    code = "TOO_MANY_REQUESTS"
    status = 429
    hint = "Wait a minute."


class SignInFailed(RealtimeError):
    """E-mail or password is wrong"""

    code = "INVALID_CREDENTIALS"
    status = 401
    hint = "RTI_ADMINS says who may sign in; `realtime-inspector admin password` makes an entry for it."


class StatementRefused(RealtimeError):
    """This statement is not run as somebody else"""

    code = "STATEMENT_REFUSED"
    status = 400


class StatementFailed(RealtimeError):
    """The statement failed; nothing of it stays"""

    code = "STATEMENT_FAILED"
    status = 422

    def __init__(self, text: str, *, sqlstate: str = "", position: int | None = None, detail: str = "", hint: str = "") -> None:
        super().__init__(text, hint=hint)
        self.sqlstate = sqlstate
        self.position = position
        """Where in the text, characters from 1."""
        self.detail = detail

    @property
    def more(self) -> Mapping[str, object]:
        """What Postgres says besides."""
        return {"sqlstate": self.sqlstate, "position": self.position, "detail": self.detail}


class MediaTypeUnsupported(RealtimeError):
    """Requests that change something must be JSON"""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415
    hint = "Send the header Content-Type: application/json."


class SourceError(RealtimeError):
    """The stream of changes was interrupted"""

    code = "SourceError"
    status = 503


class StreamEnded(SourceError):
    """Postgres ended the replication stream"""


class SlotInUse(SourceError):
    """Another process reads the replication slot"""

    code = "ReplicationSlotBeingUsed"
    hint = "Stop the other process, or give this one a slot of its own in RTI_SLOT."


class SlotLost(SourceError):
    """The replication slot is gone; changes in between are lost"""

    code = "SlotLost"

    def __init__(self, text: str = "", *, hint: str = "", gap: str = "slot_lost") -> None:
        super().__init__(text, hint=hint)
        self.gap = gap
        """The reason that subscribers are told."""


class DatabaseUnavailable(RealtimeError):
    """Realtime was unable to connect to the project database"""

    code = "UnableToConnectToProject"
    status = 503


class DatabaseBusy(RealtimeError):
    """Please increase your connection pool size"""

    code = "IncreaseConnectionPool"
    status = 503
    hint = "Too many ask the policies of private channels at once, or these are slow. Raise RTI_PERMISSION_CONNECTIONS."


class PrivateChannelsUnsupported(RealtimeError):
    """Private channels need a database, and this service runs without one"""

    code = "PrivateChannelsUnsupported"
    status = 503
    hint = "Set RTI_READER_URL and RTI_EVALUATOR_URL; `realtime-inspector init` makes both logins."


class ReplayFailed(RealtimeError):
    """Realtime was unable to replay messages"""

    code = "UnableToReplayMessages"
    status = 503
    hint = "Join again; while the past is read, too many new messages came."


class SetupError(RealtimeError):
    """The database is not prepared for the service"""

    code = "SetupError"
    hint = "Run `realtime-inspector init --database-url ADMIN_URL --env-file FILE`, then `realtime-inspector doctor`."
