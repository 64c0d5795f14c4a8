"""``execute_file``: where each server's statements end, each run as it is written."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from alembic_toolkit.sql import bodies, statements
from alembic_toolkit.sql.statements import Unreadable, split_statements
from tests import databases
from tests.databases import Database
from tests.helpers.conftest import quick
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_skipped,
    failing_revision,
    outcome_of,
    prepare,
    revision,
    rows,
)

# A ¦ stands before and behind each statement, and is not in the file.
SERVERS = ("sqlite", "postgresql", "mariadb", "mysql")
EVERYWHERE = [
    "",
    ";;; ;",
    "-- nothing; but a comment",
    "¦SELECT 1¦",
    "¦SELECT 1¦;",
    "¦SELECT 1¦;\n\n¦SELECT 2¦ ;\n",
    "\ufeff¦SELECT 1¦;",
    "¦SELECT 1¦;\r\n-- it's;\r\n¦SELECT\r\n2¦;\r\n",
    "¦SELECT ';'¦;¦SELECT 'it''s;'¦;",
    "¦SELECT ''''¦;¦SELECT ''¦;",
    "¦SELECT 'a''' , ''';'¦;¦SELECT 1¦;",
    "¦SELECT '-- ;', '/* ;'¦;¦SELECT 2¦;",
    "¦SELECT 1 -- it's; a \"comment\n, 2¦;\n¦SELECT 3¦",
    "¦SELECT 1¦ -- the end;\n;\n-- between\n¦SELECT 2¦; -- behind",
    "/* before; */¦SELECT /* ; ' */ 1¦ /* behind */;",
    "/* before SELECT */ ¦SELECT 2¦;",
    "¦SELECT 6 / 2 - 1 * 3¦;¦SELECT 6/2-1*3¦;",
    "¦SELECT 5 - -3¦;¦SELECT 2¦;",
    "¦SELECT '%', '%s', '%(x)s', ':name', '?', '{x}'¦;¦SELECT 5 % 3¦;",
    "¦INSERT INTO t (a, b) VALUES (1, 'a;b'), (2, 'c')¦;¦DELETE FROM t¦;",
    "¦SELECT CASE WHEN 1 = 1 THEN 2 ELSE 3 END¦;¦SELECT 2¦;",
    "¦SELECT 'emoji ☂; größe'¦;¦SELECT 2¦;",
    "¦SAVEPOINT one¦;¦ROLLBACK TO SAVEPOINT one¦;¦RELEASE SAVEPOINT one¦;",
    "¦SELECT (1)¦;¦SELECT 2¦;",
    "¦SELECT 'a\nb;\nc'¦;\n¦SELECT 2¦;",
]
SQLITE = [
    "¦CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM u; END¦;¦SELECT 1¦;",
    "¦CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM u; DELETE FROM t; END¦;¦SELECT 1¦;",
    "¦create temporary trigger r after insert on t begin delete from u; end¦ ;\n¦select 1¦",
    "¦CREATE TRIGGER IF NOT EXISTS r AFTER UPDATE ON t BEGIN UPDATE u SET a = CASE WHEN a > 1"
    " THEN 2 ELSE 3 END; END¦; ¦SELECT 1¦;",
    "¦CREATE TRIGGER r AFTER INSERT ON t BEGIN -- it's; END;\n DELETE FROM u; /* END; */ END¦;",
    "¦CREATE TRIGGER r BEFORE DELETE ON t WHEN OLD.a > (SELECT 1) BEGIN SELECT RAISE(ABORT,"
    " ';END;'); END¦;¦SELECT 1¦;",
    "¦CREATE TRIGGER r AFTER INSERT ON t BEGIN REPLACE INTO u VALUES (1, 'x'); END¦;¦SELECT 1¦;",
    '¦CREATE TRIGGER "r;" AFTER INSERT ON [t] BEGIN DELETE FROM `u`; END¦;¦SELECT 1¦;',
    "¦CREATE /* ; */ TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM u; END¦;¦SELECT 1¦;",
    '¦CREATE TABLE [a;b] (`c;d` INT, "e;f" INT)¦;¦SELECT 1¦;',
    "¦CREATE TABLE trigger_ (begin INT, loop INT, declare INT)¦;¦SELECT begin FROM trigger_¦;",
    "¦SELECT 'C:\\'¦;¦SELECT 'x;y'¦;",
    "¦SELECT 'a' LIKE 'b' ESCAPE '\\'¦;¦SELECT 2¦;",
    "¦CREATE VIEW v AS SELECT 1 AS a¦;¦CREATE INDEX i ON t (a)¦;¦DROP VIEW v¦;",
    '¦SELECT 1 AS "a""b;"¦;¦SELECT 2¦;',
    "¦SELECT --5;\n 2¦;",
    "¦PRAGMA foreign_keys¦;¦SELECT 2¦;",
    "¦SELECT '#', \"a\" FROM t¦;¦SELECT 2¦ -- #\n;",
    "¦SELECT '/* not nested /*'¦ /* /* ; */;¦SELECT 2¦;",
]
POSTGRESQL = [
    "¦DO $$ BEGIN PERFORM 1; END $$¦;¦SELECT 1¦;",
    "¦DO $body$ BEGIN EXECUTE $x$SELECT ';'$x$; END $body$¦;¦SELECT 1¦;",
    "¦DO $a$ BEGIN PERFORM $$it's; $b$ $$; END $a$¦;¦SELECT 1¦;",
    "¦CREATE FUNCTION f() RETURNS int AS $$ SELECT 1; $$ LANGUAGE sql¦;¦SELECT f()¦;",
    "¦CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$\nDECLARE x"
    " int;\nBEGIN\n  IF true THEN x := 1; END IF;\n  RETURN x;\nEND;\n$f$¦;\n¦SELECT f()¦;",
    "¦CREATE FUNCTION f() RETURNS int AS 'SELECT 1;' LANGUAGE sql¦;¦SELECT f()¦;",
    "¦SELECT $$it's; -- $ $x$ $$¦;¦SELECT $é$;$é$¦;",
    "¦SELECT $$$$¦;¦SELECT $a$$b$;$b$$a$¦;",
    "¦SELECT 1 AS a$b$c¦;¦SELECT 2 AS a$b$c¦;",
    "¦SELECT 1 AS a$$¦;¦SELECT 2 AS b$$¦;",
    "¦CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2;"
    " END¦;¦SELECT f()¦;",
    "¦create or replace function f(begin int) returns int begin atomic select case when begin"
    " = 1 then 2 else 3 end; select 4; end¦;\n¦select f(1)¦;",
    "¦CREATE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1, 'x;'); DELETE FROM t WHERE a"
    " = (CASE b WHEN 'x' THEN 1 ELSE 2 END); END¦;¦CALL p()¦;",
    "¦CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT t.a FROM t; SELECT 1 AS end;"
    " END¦;¦SELECT 1¦;",
    "¦CREATE FUNCTION f(a int) RETURNS int RETURN CASE WHEN a = 1 THEN 2 END¦;¦SELECT f(1)¦;",
    "¦CREATE RULE r AS ON INSERT TO u DO ALSO (DELETE FROM t; INSERT INTO t VALUES (1,"
    " ';)'))¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE RULE r AS ON DELETE TO u DO (DELETE FROM t; SELECT (1))¦;¦SELECT 1¦;",
    "/* a /* nested; */ comment; */¦SELECT 1¦;/* /* ; */ ' */¦SELECT 2¦;",
    "¦SELECT E'it\\'s; '¦;¦SELECT 1¦;",
    "¦SELECT e'a''b\\';'¦;¦SELECT 1¦;",
    "¦SELECT E'\\\\'¦;¦SELECT ';'¦;",
    "¦SELECT E'a\\''\n  'b\\';'¦;¦SELECT 1¦;",
    "¦SELECT 'C:\\'¦;¦SELECT 'x;y'¦;",
    "¦SELECT 'a' LIKE 'b' ESCAPE '\\'¦;¦SELECT 2¦;",
    "¦SELECT U&'d\\0061t\\+000061;'¦;¦SELECT U&'\\\\'¦;",
    "¦SELECT date'2020-01-01', text'C:\\'¦;¦SELECT 1¦;",
    "¦SELECT B'101', X'1F', N'x;'¦;¦SELECT 1¦;",
    "¦SELECT 5 # 3¦;¦SELECT '{\"a\":1}'::jsonb #> '{a}'¦;¦SELECT 2¦;",
    "¦SELECT '{\"a;\":1}'::jsonb ? 'a', ARRAY[1,2] @> ARRAY[1]¦;¦SELECT 2¦;",
    '¦SELECT 1 AS declare, 2 AS loop, 3 AS begin, 4 AS "end", 5 AS if¦;¦SELECT 2¦;',
    '¦CREATE TABLE w (declare int, loop int, begin int, "end" int, function int)¦;¦SELECT'
    " begin, loop, declare FROM w¦;¦SELECT w.end FROM w¦;",
    "¦SELECT 1::text, ':x', 5 %2, '%s'¦;¦SELECT 2¦;",
    '¦SELECT "a""b;" FROM (SELECT 1 AS "a""b;") AS x¦;¦SELECT 2¦;',
    "¦CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION"
    " suppress_redundant_updates_trigger()¦;¦SELECT 1¦;",
    "¦SELECT '\\.', '\\connect'¦;¦SELECT 1¦;",
    "¦COMMENT ON TABLE t IS 'COPY t FROM stdin;'¦;¦SELECT 1¦;",
    "¦SET search_path = public¦;¦SELECT pg_catalog.set_config('search_path', 'public', false)¦;",
    "¦SELECT --1;\n 2¦;",
]
MARIADB = [
    "¦CREATE OR REPLACE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE TRIGGER r BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.a = 1; SET"
    " NEW.b = 'x;END;'; END¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE TRIGGER r BEFORE INSERT ON t FOR EACH ROW IF NEW.a > 1 THEN SET NEW.a"
    " = 2; ELSEIF NEW.a = 1 THEN SET NEW.a = 3; ELSE SET NEW.a = IF(NEW.a, 1, 2); END"
    " IF¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.a = IF(NEW.a > 1,"
    " 2, 3)¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE PROCEDURE p() BEGIN DECLARE x INT DEFAULT 0; WHILE x < 3 DO SET x = x"
    " + 1; END WHILE; END¦;¦CALL p()¦;",
    "¦CREATE OR REPLACE PROCEDURE p() BEGIN DECLARE x INT DEFAULT 0; REPEAT SET x = x + 1;"
    " UNTIL x > 3 END REPEAT; SELECT REPEAT('a;', 3); END¦;¦CALL p()¦;",
    "¦CREATE OR REPLACE PROCEDURE p() BEGIN DECLARE x INT DEFAULT 0; again: LOOP SET x = x +"
    " 1; IF x > 3 THEN LEAVE again; END IF; ITERATE again; END LOOP again; END¦;¦CALL p()¦;",
    "¦CREATE OR REPLACE PROCEDURE p(x INT) BEGIN CASE x WHEN 1 THEN SELECT 1; SELECT 2; ELSE"
    " BEGIN END; END CASE; SELECT CASE x WHEN 1 THEN IF(x, 1, 2) ELSE 3 END; END¦;¦CALL"
    " p(1)¦;",
    "¦CREATE OR REPLACE PROCEDURE p() outer_: BEGIN BEGIN SELECT 1; END; inner_: BEGIN SELECT"
    " 2; END inner_; END outer_¦;¦CALL p()¦;",
    "¦CREATE OR REPLACE PROCEDURE p() BEGIN DECLARE done INT DEFAULT 0; DECLARE c CURSOR FOR"
    " SELECT a FROM t; DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1; DECLARE EXIT"
    " HANDLER FOR SQLEXCEPTION, 1062 BEGIN SELECT 1; END; DECLARE EXIT HANDLER FOR SQLSTATE"
    " '23000' BEGIN END; OPEN c; CLOSE c; END¦;¦CALL p()¦;",
    "¦CREATE OR REPLACE FUNCTION f(x INT) RETURNS INT DETERMINISTIC RETURN IF(x, 1,"
    " 2)¦;¦SELECT f(1)¦;",
    "¦CREATE OR REPLACE FUNCTION f(x INT) RETURNS VARCHAR(9) CHARSET utf8mb4 READS SQL DATA"
    " COMMENT 'it''s; BEGIN' BEGIN RETURN CASE WHEN x THEN 'a' ELSE 'b' END; END¦;¦SELECT"
    " f(1)¦;",
    "¦CREATE OR REPLACE DEFINER = CURRENT_USER PROCEDURE p() SQL SECURITY INVOKER BEGIN"
    " SELECT 1; END¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE DEFINER=`root`@`localhost` PROCEDURE p() MODIFIES SQL DATA BEGIN"
    " SELECT 1; END¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM t; DELETE FROM"
    " u; END¦;¦DROP EVENT e¦;",
    "¦CREATE EVENT IF NOT EXISTS e2 ON SCHEDULE EVERY 1 DAY DO DELETE FROM t¦;¦DROP EVENT e2¦;",
    "¦CREATE OR REPLACE EVENT e ON SCHEDULE EVERY 1 DAY DO DROP TABLE IF EXISTS gone¦;¦SELECT 1¦;",
    "¦BEGIN NOT ATOMIC SELECT 1; SELECT 2; END¦;¦SELECT 3¦;",
    "¦BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END; IF 1 THEN SELECT 2;"
    " END IF; END¦;¦SELECT 3¦;",
    "¦IF 1 = 1 THEN SELECT 1; SELECT 2; END IF¦;¦SELECT 3¦;",
    "¦FOR i IN 1..3 DO SELECT i; END FOR¦;¦SELECT 3¦;",
    "¦WHILE 1 = 0 DO SELECT 1; END WHILE¦;¦SELECT 3¦;",
    "¦CASE 1 WHEN 1 THEN SELECT 1; ELSE SELECT 2; END CASE¦;¦SELECT 3¦;",
    "DELIMITER //\n¦CREATE OR REPLACE PROCEDURE p() BEGIN SELECT 1; SELECT 2;"
    " END¦//\nDELIMITER ;\n¦CALL p()¦;",
    "delimiter $$\n¦CREATE OR REPLACE PROCEDURE p()\nBEGIN\n SELECT '$$'; --"
    " $$\nEND¦$$\n¦SELECT 1¦$$\ndelimiter ;\n¦CALL p()¦;",
    "DELIMITER ;;\n¦SELECT 1¦;;",
    "DELIMITER ;;\n¦/*!50003 CREATE*/ /*!50003 OR REPLACE TRIGGER r BEFORE INSERT ON t FOR"
    " EACH ROW BEGIN SET NEW.a = 1; END */¦;;\nDELIMITER ;\n¦SELECT 1¦;",
    "DELIMITER |\n¦SELECT 1 / 2¦|\n¦SELECT ';'¦|\nDELIMITER ;\n¦SELECT 2¦;",
    "DELIMITER //\n¦SELECT 6 / 2¦//\n¦SELECT 1¦ -- not // the end\n//",
    "¦/*!40101 SET @x = ';' */¦;¦SELECT 1¦;",
    "¦/*!50001 SELECT 1 */¦;¦SELECT 2¦;",
    "¦/*M!100100 SELECT 'it''s' */¦;¦SELECT 2¦;",
    "¦SELECT /*!40000 1, */ 2¦;¦SELECT 2¦;",
    "¦SELECT 'it\\'s;'¦;¦SELECT 1¦;",
    '¦SELECT "it\\"s;"¦;¦SELECT 1¦;',
    "¦SELECT 'a''b\\';'¦;¦SELECT '\\\\'¦;¦SELECT ';'¦;",
    '¦SELECT "it\'s; ""x"¦;¦SELECT 1¦;',
    "¦SELECT 1 # it's;\n, 2¦;# more;\n¦SELECT 1¦;",
    "¦SELECT 5--3¦;¦SELECT 2¦;--\n¦SELECT 3¦;",
    "¦SELECT 1 AS `a;``b`¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE TABLE w (begin INT, end INT, handler INT, event INT, `case`"
    " INT)¦;¦SELECT begin, end FROM w¦;¦SELECT w.case, w.end FROM w¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE PROCEDURE p() BEGIN SELECT begin, end FROM w; SELECT w.case, w.end"
    " FROM w; SELECT CASE WHEN w.end THEN 1 ELSE w.begin END FROM w; UPDATE w SET end = 1;"
    " END¦;¦SELECT 1¦;",
    "¦CREATE OR REPLACE PROCEDURE p(IN begin INT) BEGIN SET @begin = begin, @end := 2;"
    " END¦;¦CALL p(1)¦;",
    "¦CREATE OR REPLACE PROCEDURE p() BEGIN IF EXISTS (SELECT 1) THEN DROP TABLE IF EXISTS"
    " gone; CREATE TABLE IF NOT EXISTS u (a INT); END IF; END¦;¦CALL p()¦;",
    "¦CREATE OR REPLACE PROCEDURE p() BEGIN IF (1) THEN IF (2) THEN SELECT 1; END IF; ELSE IF"
    " 3 THEN SELECT 2; END IF; END IF; END¦;¦CALL p()¦;",
    "¦CREATE OR REPLACE PROCEDURE p() SELECT 1¦;¦CALL p()¦;",
    "¦CREATE OR REPLACE TABLE c (b TEXT COMMENT 'COMMIT;')¦;¦SELECT 1¦;",
    "¦SELECT NULL, '\\N'¦;¦SELECT 1¦;",
    "¦SELECT \\N, 1, \\N¦;¦SELECT 1¦;",
    "¦SET NAMES utf8mb4¦;¦LOCK TABLES t WRITE¦;¦UNLOCK TABLES¦;",
]
SPLIT_ONLY = [  # what needs tables, rights or plugins to run
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR 1062, 1063 BEGIN ROLLBACK;"
        " END; START TRANSACTION; COMMIT; END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN DECLARE CONTINUE HANDLER FOR SQLSTATE VALUE '23000' SET"
        " @x = IF(1,2,3); SELECT 1; END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE FUNCTION f() RETURNS INT UNSIGNED NOT DETERMINISTIC NO SQL BEGIN RETURN 1;"
        " END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE FUNCTION f() RETURNS INT BEGIN RETURN 1; END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE FUNCTION f(a INT) RETURNS INT IF a THEN RETURN 1; ELSE RETURN 2; END"
        " IF¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE TRIGGER t AFTER INSERT ON x FOR EACH ROW FOLLOWS y BEGIN SET @a=1;"
        " END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE TRIGGER t AFTER INSERT ON x FOR EACH ROW FOLLOWS `y` IF 1 THEN SET @a=1;"
        " END IF¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE TRIGGER t AFTER UPDATE ON x FOR EACH ROW INSERT INTO y SELECT begin FROM z"
        " WHERE end > (1) FOR UPDATE¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN l1: WHILE a DO l2: REPEAT SET a = CASE a WHEN 1 THEN"
        " CASE b WHEN 2 THEN 3 END ELSE (CASE c WHEN 1 THEN 1 END) END; UNTIL a > 3 END"
        " REPEAT l2; END WHILE l1; END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; ELSEIF REPEAT('a',2) = 'aa' THEN"
        " SELECT REPEAT('x', 2); ELSE REPEAT SET a = 1; UNTIL a END REPEAT; END IF;"
        " END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN FOR r IN (SELECT a FROM t) DO SELECT r.a; END FOR;"
        " SELECT * FROM t FOR UPDATE; END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN PREPARE s FROM 'SELECT 1'; EXECUTE s; DEALLOCATE"
        " PREPARE s; CASE WHEN a THEN BEGIN END; WHEN b THEN SELECT 1; END CASE;"
        " END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN IF(a > 1) THEN SELECT IF(a,b,c), REPLACE(a,b,c),"
        " INSERT(a,1,2,'x'); END IF; SET a = IF(1,2,3) + CASE WHEN t.end THEN 1 END;"
        " END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE VIEW v AS SELECT CASE WHEN 1 THEN 2 END AS c, IF(1,2,3)¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦ALTER EVENT e ON SCHEDULE EVERY 1 HOUR DO BEGIN SELECT 1; SELECT 2; END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW"
        " `v` AS select 1 AS `begin`¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN BEGIN END; BEGIN BEGIN SELECT 1; END; END; END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE PROCEDURE p() BEGIN\n#it's\n-- it's\n SELECT 1; END¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦/*!50003 SET sql_mode = '' */¦ ;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦XA START 'x'¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦INSERT INTO t VALUES ('\\\\'), ('a\\\\\\'b;')¦;¦SELECT 1¦",
    ),
    (
        "mariadb",
        "delimiter //\r\n¦CREATE PROCEDURE p()\r\nBEGIN\r\n  SELECT"
        " 1;\r\nEND¦//\r\ndelimiter ;\r\n¦SELECT 1¦;\r\n",
    ),
    (
        "mariadb",
        "DELIMITER //\n¦CREATE PROCEDURE p() BEGIN SELECT 1; END¦ //\n\nDELIMITER ;",
    ),
    (
        "mariadb",
        "DELIMITER END_OF\n¦SELECT 1¦END_OF ¦SELECT 2¦ END_OF",
    ),
    (
        "mariadb",
        "¦CREATE TABLE t (a INT COMMENT 'x;', event INT, KEY (a)) COMMENT='PROCEDURE;"
        " BEGIN'¦;¦SELECT 1¦;",
    ),
    (
        "mariadb",
        "¦CREATE DATABASE event¦;¦CREATE INDEX trigger_ ON t (a)¦;¦CREATE USER"
        " 'procedure'@'%'¦;¦GRANT EXECUTE ON PROCEDURE p TO x¦;¦DROP PROCEDURE p¦;",
    ),
    (
        "mariadb",
        "¦CREATE OR REPLACE AGGREGATE FUNCTION f(x INT) RETURNS INT BEGIN DECLARE s INT;"
        " DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN s; LOOP FETCH GROUP NEXT ROW; SET s"
        " = s + x; END LOOP; END¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦CREATE FUNCTION f() RETURNS trigger AS $$BEGIN NEW.a := 'x;'; RETURN NEW; END;$$"
        " LANGUAGE plpgsql¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦CREATE OR REPLACE PROCEDURE p(a int, b text DEFAULT ';') LANGUAGE SQL BEGIN ATOMIC"
        " INSERT INTO t VALUES (a); INSERT INTO t SELECT CASE WHEN a=1 THEN CASE WHEN b='x'"
        " THEN 2 END END; END¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦CREATE TABLE t (a text DEFAULT E'\\'', b text DEFAULT '\\')¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦SELECT 'a' -- c;\n'b;'¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦SELECT $1¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦CREATE FUNCTION begin() RETURNS int AS 'SELECT 1' LANGUAGE sql¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦CREATE AGGREGATE s (int) (SFUNC = f, STYPE = int)¦;¦CREATE OPERATOR # (LEFTARG ="
        " a, FUNCTION = f)¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦SELECT a-- c;\n, b/* ; */-1¦;¦SELECT 1¦;",
    ),
    (
        "postgresql",
        "¦SELECT n'x\\', E'x\\'' , 'x\\'¦;¦SELECT 2¦;",
    ),
    (
        "postgresql",
        "¦SELECT ee'x\\'¦;¦SELECT 2¦;",
    ),
    (
        "postgresql",
        "¦SELECT $$a$$||E'\\''||$b$;$b$¦;¦SELECT 2¦;",
    ),
    (
        "postgresql",
        "¦SELECT 1 -- c; x\r\n, 2¦;¦SELECT 2¦;",
    ),
    (
        "postgresql",
        "¦CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1¦;¦SELECT 1¦;",
    ),
    (
        "sqlite",
        "¦CREATE TRIGGER t INSTEAD OF INSERT ON v BEGIN SELECT 1; -- END;\nEND¦ -- c\n;¦SELECT 1¦;",
    ),
    (
        "sqlite",
        "¦CREATE TABLE t (a TEXT CHECK (a <> ';'), b AS (a || ';'))¦;¦SELECT 1¦",
    ),
    (
        "sqlite",
        "¦CREATE VIRTUAL TABLE v USING fts5(a, tokenize=\"x ';'\")¦;¦SELECT 1¦",
    ),
    (
        "sqlite",
        "¦CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT"
        " CASE WHEN 1 THEN 2 END; END¦;¦SELECT 1¦;",
    ),
    (
        "sqlite",
        "¦CREATE TABLE main.trigger (a)¦;¦CREATE UNIQUE INDEX trigger2 ON t (a)¦;¦SELECT 1¦;",
    ),
    (
        "sqlite",
        "¦SELECT x'00', '\\', \"\\\"¦;¦SELECT 1¦;",
    ),
    (
        "sqlite",
        "¦SELECT a->>'$.b;', a->'x'¦;¦SELECT 1¦;",
    ),
]
# MySQL has no OR REPLACE of what has a body, and no such statement outside of a body.
MARIADB_ALONE = ("NOT ATOMIC", "¦IF ", "¦FOR ", "¦WHILE ", "¦CASE ", "/*M!", "SELECT \\N")
MYSQL = [
    case.replace("OR REPLACE ", "")
    for case in MARIADB
    if not any(word in case for word in MARIADB_ALONE)
]
MADE = {"TRIGGER": "r", "PROCEDURE": "p", "FUNCTION": "f", "EVENT": "e", "TABLE": "w, c"}
CASES = [
    *((server, case) for server in SERVERS for case in EVERYWHERE),
    *(("mysql", case) for case in MYSQL),
    *(("sqlite", case) for case in SQLITE),
    *(("postgresql", case) for case in POSTGRESQL),
    *(("mariadb", case) for case in MARIADB),
]
TABLES = ["CREATE TABLE t (a INT, b VARCHAR(20))", "CREATE TABLE u (a INT, b VARCHAR(20))"]
SYNTAX = {"sqlite": bodies.SQLITE, "postgresql": bodies.POSTGRESQL, "mariadb": bodies.MYSQL}
SYNTAX["mysql"] = bodies.MYSQL


def split(server: str, text: str) -> list[str]:
    found = split_statements(io.StringIO(text, newline=""), SYNTAX[server])
    return [statement.text for statement in found]


def parts(marked: str) -> list[str]:
    return marked.split("¦")[1::2]


@pytest.mark.parametrize(("server", "marked"), [*CASES, *SPLIT_ONLY])
def test_file_is_split_where_statements_end(server: str, marked: str) -> None:
    assert split(server, marked.replace("¦", "")) == parts(marked)


@pytest.mark.parametrize(("server", "marked"), [*CASES, *SPLIT_ONLY])
def test_file_is_split_alike_however_little_of_it_is_looked_at(
    server: str, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for window in range(1, 12):
        monkeypatch.setattr(statements, "WINDOW", window)
        assert split(server, marked.replace("¦", "")) == parts(marked)


@pytest.fixture
def tables(
    kept_servers: dict[str, Database], new_database: Callable[[str], Database]
) -> Callable[[str], Database]:
    """Give a database with two tables; on a server it is one for all tests."""

    def get(server: str) -> Database:
        if server == "sqlite":
            database = new_database(server)
            prepare(database, *TABLES)
            return database
        if server not in kept_servers:
            kept_servers[server] = quick(databases.new_database(server))
            prepare(kept_servers[server], *TABLES)
        return kept_servers[server]

    return get


@pytest.mark.parametrize(("server", "marked"), CASES)
def test_file_runs_as_it_is_written(
    server: str, marked: str, tables: Callable[[str], Database], tmp_path: Path
) -> None:
    file = tmp_path / "f.sql"
    file.write_bytes(marked.replace("¦", "").encode())
    mode = "explicit-begin" if server == "sqlite" else "plain"
    if marked in MYSQL:
        drops = [f"DROP {kind} IF EXISTS {names}" for kind, names in MADE.items()]
        prepare(tables(server), *drops)
    with failing_revision(tables(server), mode):
        outcome = outcome_of(lambda: helpers.execute_file(file))
        assert outcome.error is None, outcome
    count = len(parts(marked))
    said = f"executed {count} statements of {file}" if count else "skip execute_file"
    assert outcome.lines[0].startswith(said)


# the clients' own limits: psql does not know this END, and a script for MariaDB is no transaction
NOT_SCRIPTED = ("SELECT 1 AS end", "SAVEPOINT")
SCRIPTED = [(s, case) for s, case in CASES if len(parts(case)) > 1 and s != "mysql"]
SCRIPTED = [one for one in SCRIPTED[::3] if not any(odd in one[1] for odd in NOT_SCRIPTED)]


@pytest.mark.parametrize(("server", "marked"), SCRIPTED + [("mariadb", case) for case in MARIADB])
def test_script_has_the_statements_as_they_are(
    server: str, marked: str, tables: Callable[[str], Database], tmp_path: Path
) -> None:
    file = tmp_path / "f.sql"
    file.write_bytes(marked.replace("¦", "").encode())
    database = tables(server)
    script = written(database, lambda: helpers.execute_file(file))
    assert all(part in script for part in parts(marked))
    undone = script.replace("COMMIT;", "ROLLBACK;")
    run_with_client(database, undone if server == "postgresql" else script)


def test_script_of_a_trigger_works_in_the_client(database: Database, tmp_path: Path) -> None:
    bodies = {
        "sqlite": "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1, ';'); END;",
        "mariadb": "CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW BEGIN"
        " INSERT INTO u VALUES (1, ';'); END;",
        "postgresql": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO u VALUES (1, ';'); RETURN NULL; END $$;"
        "CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();",
    }
    file = tmp_path / "f.sql"
    file.write_text(bodies[database.kin] + "INSERT INTO t VALUES (1, 'x');")
    prepare(database, *TABLES)
    run_with_client(database, written(database, lambda: helpers.execute_file(file)))
    with database.engine.connect() as connection:
        assert rows(connection, "SELECT * FROM u") == [(1, ";")]


# Refusals, before anything is run


BAD: list[Any] = [
    ("every", "SELECT 1;\n\nSELECT 'abc;\nSELECT 2;", 3, "has no end"),
    ("every", "SELECT 1;\n/* never\nclosed", 2, "comment"),
    ("every", 'SELECT 1;\r\nSELECT "abc;\r\n', 2, "has no end"),
    ("every", "SELECT 1;\nCOMMIT;\n", 2, "COMMIT: the transaction is Alembic's"),
    ("every", "BEGIN;\nSELECT 1;\n", 1, "BEGIN: the transaction"),
    ("every", "SELECT 1;\n-- c\nROLLBACK;", 3, "ROLLBACK: the"),
    ("postgresql", "SELECT 1;\nstart\n transaction;", 2, "transaction"),
    ("sqlite", "BEGIN IMMEDIATE TRANSACTION;", 1, "transaction"),
    ("sqlite", "SELECT 1;END;", 1, "transaction"),
    ("postgresql", "SELECT 1;\nEND;", 2, "transaction"),
    ("postgresql", "ABORT;", 1, "transaction"),
    ("mariadb", "START TRANSACTION WITH CONSISTENT SNAPSHOT;", 1, "transaction"),
    ("mariadb", "BEGIN WORK;", 1, "transaction"),
    ("mariadb", "DELIMITER //\nCOMMIT//", 2, "transaction"),
    (
        "sqlite",
        "SELECT 1;\nCREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1;\n",
        2,
        "TRIGGER is open",
    ),
    (
        "mariadb",
        "\nCREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1;",
        2,
        "BEGIN is",
    ),
    ("mariadb", "SELECT 1;\nCREATE PROCEDURE p() IF 1 THEN SELECT 1;", 2, "IF is open"),
    ("mariadb", "SELECT `a;", 1, "has no end"),
    ("mariadb", "SELECT 'a\\';", 1, "has no end"),
    ("mariadb", "SELECT 1 /*!50000 + 1;", 1, "is open"),
    ("mariadb", "DELIMITER", 1, "DELIMITER says none"),
    ("mariadb", "SELECT 1;\nsource x.sql\nSELECT 2;", 2, "source x.sql: only the server's client"),
    ("mariadb", "SELECT 1;\n\\. x.sql\n", 2, "client"),
    ("mariadb", "SELECT 1\\G\n", 1, "client"),
    ("sqlite", "SELECT 1;\n.read x.sql\n", 2, ".read x.sql: only the server's client"),
    ("sqlite", "SELECT [a;", 1, "has no end"),
    ("postgresql", "SELECT 1;\n\\connect x 'y\nSELECT 2;", 2, "\\\\connect x 'y: only"),
    ("postgresql", "SELECT 1 \\gexec\n", 1, "client"),
    ("postgresql", "\n\nDO $a$ BEGIN END $b$;", 3, "has no end"),
    ("postgresql", "/* /* */ SELECT 1;", 1, "comment"),
    ("postgresql", "SELECT E'a\\';", 1, "has no end"),
    (
        "postgresql",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;",
        1,
        "BEGIN is open|ATOMIC",
    ),
    ("postgresql", "SELECT 1;\nCOPY t (a, b) FROM stdin;\n1\tit's\n\\.\n", 2, "COPY FROM stdin"),
]


@pytest.mark.parametrize(
    ("server", "text", "line", "problem"),
    [
        (server, *rest)
        for name, *rest in BAD
        for server in {"every": SERVERS, "mariadb": ["mariadb", "mysql"]}.get(name, [name])
    ],
)
def test_execute_file_refuses_with_the_line(
    server: str,
    text: str,
    line: int,
    problem: str,
    tables: Callable[[str], Database],
    tmp_path: Path,
) -> None:
    file = tmp_path / "f.sql"
    file.write_bytes(("INSERT INTO t VALUES (1, 'x');" + text).encode())
    with failing_revision(tables(server)):
        outcome = outcome_of(lambda: helpers.execute_file(file))
    assert isinstance(outcome.error, CommandError)
    assert not outcome.changes
    assert outcome.lines == []
    message = str(outcome.error)
    with pytest.raises(CommandError, match=problem):
        raise outcome.error
    assert f"{file}:{line}\n" in message
    assert "What to do next:\n    " in message
    assert ("transaction is Alembic's" in message) == (" get_context().autocommit" in message)


# Errors while it runs


def test_execute_file_names_the_line_of_a_failing_statement(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "f.sql"
    file.write_text("INSERT INTO t VALUES (1, 'x');\n\n-- next\nINSERT INTO\n  gone VALUES (1);\n")
    prepare(database, *TABLES)
    mode = "explicit-begin" if database.name == "sqlite" else "plain"
    with pytest.raises(CommandError) as raised, revision(database, mode):
        helpers.execute_file(file)
    message = str(raised.value)
    assert f"statement 2 of 2 failed, {file}:4." in message
    assert "INSERT INTO gone VALUES (1)" in message
    assert "gone" in message.split("database says:")[1].split("\n")[0]
    with database.engine.connect() as connection:
        assert rows(connection, "SELECT * FROM t") == []


def test_execute_file_says_where_it_looked(database: Database, tmp_path: Path) -> None:
    with revision(database):
        missing = tmp_path / "gone.sql"
        with pytest.raises(CommandError, match=r"cannot be read: No such file") as raised:
            helpers.execute_file(missing)
        assert str(missing) in str(raised.value)
        with pytest.raises(CommandError, match="cannot be read"):
            helpers.execute_file(tmp_path)


@pytest.mark.databases("sqlite")
def test_execute_file_refuses_another_encoding(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "f.sql"
    file.write_bytes("SELECT 1;\nSELECT 'größe';".encode("latin-1"))
    with revision(database):
        with pytest.raises(CommandError, match="line 2 is not utf-8"):
            helpers.execute_file(file)
        helpers.execute_file(file, encoding="latin-1")


@pytest.mark.databases("mariadb", "mysql")
def test_execute_file_heeds_no_backslash_escapes(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "f.sql"
    file.write_text(r"INSERT INTO t VALUES (1, 'C:\'); INSERT INTO t VALUES (2, '\');")
    prepare(database, *TABLES)
    mode = {"init_command": "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "ssl_disabled": True}
    engine = sa.create_engine(database.url, poolclass=sa.NullPool, connect_args=mode)
    with revision(replace(database, engine=engine)) as connection:
        helpers.execute_file(file)
        assert rows(connection, "SELECT b FROM t ORDER BY a") == [("C:\\",), ("\\",)]


@pytest.mark.databases("sqlite")
def test_execute_file_looks_beside_the_revision(database: Database, tmp_path: Path) -> None:
    (tmp_path / "seed.sql").write_text("CREATE TABLE seeded (a INT);")
    source = "import alembic_helpers as h\nrevision = '1'\ndown_revision = None\n"
    source += "def upgrade():\n    h.execute_file('seed.sql')\n"
    names: dict[str, Any] = {"__file__": str(tmp_path / "1_.py")}
    exec(source, names)
    with revision(database):
        assert_applied(names["upgrade"])
        assert helpers.table_exists("seeded")


def test_execute_file_is_a_skip_when_nothing_is_in_it(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "f.sql"
    file.write_text("-- soon\n")
    with revision(database):
        assert_skipped(lambda: helpers.execute_file(file), "no statement in it")


@pytest.mark.parametrize("server", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t (a, b) VALUES (1, 'it''s');\n" * 30_000,
        "SELECT '" + "x''" * 400_000 + "';",
        "SELECT '" + "\\\\" * 600_000 + "';",
        "INSERT INTO t VALUES " + ", ".join(["(1, 'a')"] * 120_000) + ";",
        "-- it's\n" * 150_000,
        "SELECT " + "(" * 500_000 + ")" * 500_000 + ";",
        "SELECT 'never closed" + " x" * 500_000,
    ],
    ids=["statements", "quotes", "backslashes", "rows", "comments", "brackets", "unclosed"],
)
def test_splitting_takes_time_in_proportion_to_the_file(server: str, text: str) -> None:
    assert len(text) > 900_000
    start = time.process_time()
    try:
        split(server, text)
    except Unreadable:
        assert "never closed" in text
    assert time.process_time() - start < 5  # about 0.3; what is not linear takes minutes
