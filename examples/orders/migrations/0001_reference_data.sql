-- Reference data that all tenants share. '@reeve:shared' says so: tenants may read these tables,
-- and only migrations write them.

CREATE TABLE currencies (
    code      char(3) PRIMARY KEY,
    name      text NOT NULL,
    decimals  smallint NOT NULL DEFAULT 2 CHECK (decimals BETWEEN 0 AND 4)
);
COMMENT ON TABLE currencies IS '@reeve:shared ISO 4217 currencies';

CREATE TABLE countries (
    code      char(2) PRIMARY KEY,
    name      text NOT NULL UNIQUE,
    currency  char(3) NOT NULL REFERENCES currencies
);
COMMENT ON TABLE countries IS '@reeve:shared ISO 3166 countries';

INSERT INTO currencies (code, name, decimals) VALUES
    ('EUR', 'Euro', 2),
    ('GBP', 'Pound sterling', 2),
    ('JPY', 'Yen', 0),
    ('NOK', 'Norwegian krone', 2),
    ('USD', 'US dollar', 2);

INSERT INTO countries (code, name, currency) VALUES
    ('DE', 'Germany', 'EUR'),
    ('FR', 'France', 'EUR'),
    ('GB', 'United Kingdom', 'GBP'),
    ('JP', 'Japan', 'JPY'),
    ('NO', 'Norway', 'NOK'),
    ('US', 'United States', 'USD');
