"""The kinds of value that requests are made of, which are the contract's."""

from __future__ import annotations

from orionflow.contract.wire import DEEPEST as DEEPEST
from orionflow.contract.wire import JSON as JSON
from orionflow.contract.wire import NAME_PATTERN as NAME_PATTERN
from orionflow.contract.wire import Content as Content
from orionflow.contract.wire import Findable as Findable
from orionflow.contract.wire import Int as Int
from orionflow.contract.wire import JSONObject as JSONObject
from orionflow.contract.wire import Key as Key
from orionflow.contract.wire import LongText as LongText
from orionflow.contract.wire import Moment as Moment
from orionflow.contract.wire import Name as Name
from orionflow.contract.wire import Natural as Natural
from orionflow.contract.wire import Seconds as Seconds
from orionflow.contract.wire import StrictWire as StrictWire
from orionflow.contract.wire import Tags as Tags
from orionflow.contract.wire import Text255 as Text255
from orionflow.contract.wire import Text1024 as Text1024
from orionflow.contract.wire import Wire as Wire
from orionflow.contract.wire import findable as findable
from orionflow.contract.wire import fitting_text as fitting_text
from orionflow.contract.wire import in_utc as in_utc
from orionflow.contract.wire import indexable as indexable
from orionflow.contract.wire import storable as storable
from orionflow.contract.wire import storable_content as storable_content
