"""What the server answers: who asks, whether they may, whether it makes sense, then the deed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from formal_cluster_conformance.k8s import rbac, validation
from formal_cluster_conformance.k8s.faults import Request
from formal_cluster_conformance.k8s.lists import Lists, selection
from formal_cluster_conformance.k8s.rbac import User
from formal_cluster_conformance.k8s.resources import (
    ACCESS_REVIEWS,
    RESOURCES,
    SERVICE_ACCOUNTS,
    Document,
    Target,
)
from formal_cluster_conformance.k8s.statuses import Refusal, forbidden
from formal_cluster_conformance.k8s.store import Store
from formal_cluster_conformance.k8s.validation import ListOptions
from formal_cluster_conformance.k8s.watching import Watch

_VERBS = {"POST": "create", "PUT": "update", "DELETE": "delete"}
_LONGEST_WATCH_S = 3600


def authenticate(headers: Mapping[str, str], tokens: Mapping[str, User]) -> User | None:
    """Whom the request's token stands for; None if for nobody."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return tokens.get(token.strip()) if scheme.lower() == "bearer" else None


def verb_of(method: str, target: Target | None, query: Mapping[str, str]) -> str:
    """The verb that a permission for the request would name."""
    if method != "GET" or target is None:
        return _VERBS.get(method, method.lower())
    if query.get("watch", "").lower() in {"true", "1"}:
        return "watch"
    return "list" if target.name is None else "get"


def authorize(
    user: User | None, request: Request, target: Target | None, store: Store
) -> tuple[User, Target]:
    """The user and the target, if there are both and the one may do this to the other.

    Raises:
        Refusal: Otherwise.
    """
    if user is None:
        raise Refusal(401, "Unauthorized")
    if target is None:
        raise Refusal(404, "the server could not find the requested resource")
    if not rbac.is_allowed(user, request.verb, target, store.grants):
        raise forbidden(user.name, request.verb, target)
    return user, target


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers requests that may be made.

    Args:
        tokens: Tokens issued for service accounts are added here.
        bookmark_s: Seconds between bookmarks, for watches that want any.
    """

    store: Store
    lists: Lists
    tokens: dict[str, User]
    bookmark_s: float

    def answer(self, request: Request, target: Target, body: Any) -> Document | Watch:
        """The document that answers the request; for a watch, the watch to run.

        Raises:
            Refusal: It cannot be done.
        """
        if request.verb in {"list", "watch"}:
            options = validation.list_options(request.query)
            return (
                self._watch(target, options)
                if options.watch
                else self.lists.answer(target, options)
            )
        match request.verb:
            case "get":
                validation.check_query("GET", request.query)
                return self.store.get(target)
            case "create" if target.subresource == "token":
                return self._token(target, body)
            case "create" if target.resource is ACCESS_REVIEWS:
                return self._review(body)
            case "create" if target.name is None:
                validation.check_query("POST", request.query)
                return self.store.create(target, validation.check_object(body, target))
            case "update" if target.name is not None:
                validation.check_query("PUT", request.query)
                return self.store.replace(target, validation.check_object(body, target))
            case "delete" if target.name is not None and target.subresource is None:
                validation.check_query("DELETE", request.query)
                grace = (body or {}).get(
                    "gracePeriodSeconds", request.query.get("gracePeriodSeconds")
                )
                return self.store.delete(target, None if grace is None else int(grace))
        raise Refusal(405, "the server does not allow this method on the requested resource")

    def _watch(self, target: Target, options: ListOptions) -> Watch:
        return Watch(
            self.store,
            target,
            selection(target, options),
            after=options.version or None,
            seconds=options.timeout_s or _LONGEST_WATCH_S,
            bookmark_s=self.bookmark_s if options.bookmarks else None,
        )

    def _review(self, body: Any) -> Document:
        """Whether somebody may do something."""
        try:
            asked = body["spec"]["resourceAttributes"]
            user = User(body["spec"]["user"], frozenset(body["spec"].get("groups", ())))
            found = {(it.group, it.plural): it for it in RESOURCES}
            resource = found[asked.get("group", ""), asked["resource"]]
        except (KeyError, TypeError) as error:
            raise Refusal(400, f"the body is no SubjectAccessReview: {error!r}") from error
        target = Target(resource, asked.get("namespace"), asked.get("name"))
        allowed = rbac.is_allowed(user, asked["verb"], target, self.store.grants)
        return {**body, "status": {"allowed": allowed}}

    def _token(self, target: Target, body: Any) -> Document:
        """A token for a service account."""
        if target.resource is not SERVICE_ACCOUNTS or not isinstance(body, dict):
            raise Refusal(404, "the server could not find the requested resource")
        account = self.store.get(target)["metadata"]
        token = secrets.token_urlsafe(16)
        self.tokens[token] = rbac.service_account(account["namespace"], account["name"])
        return {**body, "status": {"token": token}}
