"""Single sign-on by an OpenID Connect provider, if one is configured (`ORION_OIDC_ISSUER`, and the extra `[sso]`).

Authlib implements the protocol: discovery, PKCE, state and nonce in the session, and the token's signature, issuer,
audience and times. Orion decides which user a token belongs to: a user belongs to a subject of an issuer, never to an
email address, which a provider may not have verified.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from shlex import quote
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import Group, User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from orchestration.errors import DomainError
from orchestration.transactions import repeated_on_conflict, write_transaction
from orion_site.accounts import throttling
from orion_site.accounts.attempts import address_of
from orion_site.accounts.errors import BadName, NameLooksAlike, NameTaken
from orion_site.accounts.local_owner import OWNER_NAME
from orion_site.accounts.models import Identity
from orion_site.accounts.permissions import Action, requires
from orion_site.accounts.role import Role
from orion_site.accounts.users import create_user, refuse_bad_name, set_groups

logger = logging.getLogger("orion.accounts")

# Asymmetric signatures only: with a shared secret, or none, others than the provider could sign.
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
PATIENCE_SECONDS = 10
# Limits the sessions that are created when users are sent to the provider: the burst, and the rate.
STARTS, STARTS_PER_SECOND = 60.0, 0.5
NEXT = "orion_next"
LONGEST_SUBJECT = 255


class NotLetIn(DomainError):
    """The person has no user in Orion, or could not be identified."""

    code = "not_let_in"
    message = "{reason}"


def is_enabled() -> bool:
    return bool(settings.ORION_OIDC_ISSUER)


@lru_cache(maxsize=1)
def _provider() -> Any:
    """Return the client of the configured provider. Its metadata is read when it is first needed."""
    from authlib.integrations.django_client import OAuth

    registry = OAuth()
    registry.register(
        "provider",
        client_id=settings.ORION_OIDC_CLIENT_ID,
        client_secret=settings.ORION_OIDC_CLIENT_SECRET,
        server_metadata_url=f"{settings.ORION_OIDC_ISSUER}/.well-known/openid-configuration",
        client_kwargs={
            "scope": settings.ORION_OIDC_SCOPE,
            "code_challenge_method": "S256",
            "default_timeout": PATIENCE_SECONDS,
        },
    )
    return registry.provider


def _begin(request: HttpRequest) -> HttpResponse:
    if not is_enabled():
        raise Http404
    name = f"sign-on {address_of(request)}"
    if wait := throttling.requests.take(name, 1.0, rate=STARTS_PER_SECOND, size=STARTS):
        return _refused(request, f"Too many attempts. Try again in {round(wait) + 1} seconds.", status=429)
    wanted = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    request.session[NEXT] = wanted if is_ours else ""
    try:
        answer: HttpResponse = _provider().authorize_redirect(request, _address_of_return(request))
    except Exception as error:
        # Errors of the network or in the provider's metadata have many types, but need the same answer.
        logger.warning("The provider of sign-on cannot be asked: %s: %s", type(error).__name__, error)
        return _refused(request, "The provider of sign-on does not answer. Try again in a moment.", status=502)
    return answer


def _return(request: HttpRequest) -> HttpResponse:
    if not is_enabled():
        raise Http404
    try:
        user = user_of(_claims(request))
    except DomainError as error:
        logger.warning("A sign-on was refused: %s", error)
        return _refused(request, str(error), status=403)
    wanted = request.session.pop(NEXT, "")
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    return HttpResponseRedirect(wanted or resolve_url(settings.LOGIN_REDIRECT_URL))


def _claims(request: HttpRequest) -> Mapping[str, Any]:
    """Return the provider's claims about the person who returned from it. Raises NotLetIn."""
    provider = _provider()
    expected = {
        "iss": {"essential": True, "value": settings.ORION_OIDC_ISSUER},
        "aud": {"essential": True, "value": settings.ORION_OIDC_CLIENT_ID},
    }
    try:
        metadata = provider.load_server_metadata()
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = sorted(ALGORITHMS & set(offered))
        token = provider.authorize_access_token(request, claims_options=expected)
        claims = _with_more(provider, metadata, token)
    except Exception as error:
        # A forged or repeated answer, an invalid token, or an error of the network: in no case is the person
        # identified.
        logger.warning("A sign-on failed: %s: %s", type(error).__name__, error)
        raise NotLetIn(reason="The provider's answer could not be verified. Sign in again.") from error
    subject = claims.get("sub") if claims else None
    if not claims or not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        raise NotLetIn(reason="The provider's answer does not say who you are.")
    return claims


def _with_more(provider: Any, metadata: Mapping[str, Any], token: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the claims of the token, with those that the provider has only at its userinfo endpoint."""
    claims: Mapping[str, Any] | None = token.get("userinfo")
    wanted = {"preferred_username", settings.ORION_OIDC_GROUPS_CLAIM} - {""}
    if not claims or wanted <= claims.keys() or not metadata.get("userinfo_endpoint"):
        return claims
    more = provider.userinfo(token=token)
    # Claims of the token take precedence, because it is signed.
    return {**more, **claims} if more.get("sub") == claims.get("sub") else claims


@repeated_on_conflict
def user_of(claims: Mapping[str, Any]) -> User:
    """Return the user of a subject, in the groups that the provider names; create it at its first sign-on.

    Raises NotLetIn.
    """
    groups = _groups_in(claims)
    with write_transaction():
        known = Identity.objects.select_related("user").filter(issuer=settings.ORION_OIDC_ISSUER, subject=claims["sub"])
        identity = known.first() or _made(claims)
        if not identity.user.is_active:
            raise NotLetIn(reason="Your user here is disabled.")
        if groups is not None:
            _join(identity.user, groups)
    return identity.user


def _made(claims: Mapping[str, Any]) -> Identity:
    name = str(claims.get("preferred_username") or claims["sub"])
    try:
        refuse_bad_name(name)
    except BadName as error:
        raise NotLetIn(reason=str(error)) from None
    try:
        user = create_user(name=name)
    except NameLooksAlike as error:
        raise NotLetIn(reason=_look_alike_words(name, str(error.details["taken"]), str(claims["sub"]))) from None
    except NameTaken:
        raise NotLetIn(
            reason=f"There is another user {name!r} here. Whoever runs this server can link the two: "
            f"orion user link {quote(name)} {quote(str(claims['sub']))}"
        ) from None
    return Identity.objects.create(user=user, issuer=settings.ORION_OIDC_ISSUER, subject=claims["sub"])


def _look_alike_words(name: str, taken: str, subject: str) -> str:
    there = f"Your name {name!r} looks like that of the user {taken!r} here."
    other = f"make a user with another name for you, and link it: orion user link NAME {quote(subject)}"
    if taken == OWNER_NAME:
        return f"{there} Whoever runs this server can {other}"
    return (
        f"{there} If that user is you, an administrator of this server can link the two: "
        f"orion user link {quote(taken)} {quote(subject)}\nOtherwise they can {other}"
    )


def _groups_in(claims: Mapping[str, Any]) -> Sequence[str] | None:
    """Return the names in the groups claim; None if the setting names no claim, and groups are managed in Orion."""
    if not settings.ORION_OIDC_GROUPS_CLAIM:
        return None
    named = claims.get(settings.ORION_OIDC_GROUPS_CLAIM) or []
    return [str(one) for one in (named if isinstance(named, list) else [named])]


def _join(user: User, groups: Sequence[str]) -> None:
    """Put the user into those of the groups that exist in Orion, and into no others.

    A group of admins is used only if the settings map to it: anyone might create a group of that name at the provider.
    """
    meant = {settings.ORION_OIDC_GROUPS[name] for name in groups if name in settings.ORION_OIDC_GROUPS}
    of_admins = Group.objects.filter(grants__role=Role.ADMIN).values("pk")
    by_name = Group.objects.filter(name__in=set(groups) - settings.ORION_OIDC_GROUPS.keys()).exclude(pk__in=of_admins)
    found = by_name | Group.objects.filter(name__in=meant)
    there = sorted(set(found.values_list("name", flat=True)))
    if there != sorted(user.groups.values_list("name", flat=True)):
        set_groups(name=user.get_username(), groups=there)


def _address_of_return(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("sign-on-return"))


def _refused(request: HttpRequest, words: str, *, status: int) -> HttpResponse:
    return render(request, "accounts/sign_on_refused.html", {"words": words}, status=status)


begin = requires(Action.ANYBODY)(_begin)
come_back = requires(Action.ANYBODY)(_return)
