import pytest
from unittest import mock
